"""A name server for the servers under audit: `python -m tests.interop.audited.resolver` on 127.0.0.1:53.

Names below `test` are the server's, those below `example` and example.com, .net and .org the stranger's; no others exist.
"""

from __future__ import annotations

import socket

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.interop.audited.network import SERVER, STRANGER

KNOWN = ("test.", "example.", "example.com.", "example.net.", "example.org.")
ELSEWHERE = "192.0.2.25"
"""Of a mail exchanger in the world: Debian's Exim takes none in a private network for one."""
REVERSE = {f"{'.'.join(reversed(STRANGER.split('.')))}.in-addr.arpa.": "stranger.example."}


def answer(octets: bytes) -> bytes:
    query = dns.message.from_wire(octets)
    response = dns.message.make_response(query)
    response.flags |= dns.flags.RA | dns.flags.AA
    question = query.question[0]
    name = question.name.to_text().lower()
    values: list[str] = []
    if name in REVERSE:
        values = [REVERSE[name]] if question.rdtype == dns.rdatatype.PTR else []
    elif name.endswith(KNOWN):
        values = {
            dns.rdatatype.A: [ELSEWHERE if name == "mx.example." else SERVER if name.endswith("test.") else STRANGER],
            dns.rdatatype.MX: ["10 mail.example.test." if name.endswith("test.") else "10 mx.example."],
        }.get(question.rdtype, [])
    else:
        response.set_rcode(dns.rcode.NXDOMAIN)
    if values:
        response.answer.append(dns.rrset.from_text(question.name, 60, question.rdclass, question.rdtype, *values))
    return response.to_wire()


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 53))
        while True:
            octets, client = sock.recvfrom(4096)
            sock.sendto(answer(octets), client)


if __name__ == "__main__":
    main()
