"""The lab's name server, asked over UDP and TCP by dnspython, and its zones asked directly."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from lab.dns.zones import ZoneError, Zones

EXAMPLE = """\
$ORIGIN example.org.
$TTL 300
@        SOA   ns hostmaster 1 3600 600 86400 60
@        NS    ns
@        MX    10 mx
@        MX    20 backup.elsewhere.test.
@        TXT   "v=spf1 -all"
ns       A     127.0.0.3
mx       A     127.0.0.3
mx       AAAA  ::1
alias    CNAME mx
out      CNAME www.elsewhere.test.
loop     CNAME loop
_imaps._tcp SRV 0 1 993 mx
*.wild   A     127.0.0.9
deep.er  A     127.0.0.4
broken   TXT   "lab:servfail"
unkind   TXT   "lab:refused"
gone     TXT   "lab:silent"
"""
LISTED = "@ 60 IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 60\n@ 60 IN NS ns.example.org.\n"
LISTED += '2.0.0.127 60 IN A 127.0.0.2\n2.0.0.127 60 IN TXT "listed"\n'
LONG = LISTED + "".join(f'big 60 IN TXT "{number:0200}"\n' for number in range(5))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zones")
    (path / "example.org.zone").write_text(EXAMPLE)
    (path / "list.example.net.zone").write_text(LISTED)
    (path / "long.test.zone").write_text(LONG)
    return path


@pytest.fixture(scope="module")
def zones(directory: Path) -> Zones:
    return Zones.load(directory)


@dataclass
class Bound:
    socket: socket.socket
    tag: str
    options: dict[str, str] = field(default_factory=dict)


def serve(directory: Path, udp: socket.socket, tcp: socket.socket, ready: Connection) -> None:
    """In a process of its own, as the supervisor runs it."""
    from lab.dns import prepare

    service = prepare(directory, [Bound(udp, "dns"), Bound(tcp, "dns-tcp")])

    async def main() -> None:
        drain = asyncio.Event()
        asyncio.get_running_loop().add_reader(ready.fileno(), drain.set)
        await service(drain, lambda: ready.send("ready"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.fixture(scope="module")
def port(directory: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(tcp.getsockname())
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(directory, udp, tcp, theirs), daemon=True)
        process.start()
        try:
            assert ours.poll(20) and ours.recv() == "ready"
            yield tcp.getsockname()[1]
            ours.send("drain")
            process.join(10)
            assert process.exitcode == 0, "the server did not drain"
        finally:
            process.kill()
            process.join()


def ask(port: int, name: str, kind: str, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    transport = dns.query.tcp if tcp else dns.query.udp
    return transport(query, "127.0.0.1", port=port, timeout=5)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "kind", "code", "answers"),
    [
        ("example.org", "MX", "NOERROR", ["10 mx.example.org.", "20 backup.elsewhere.test."]),
        ("EXAMPLE.org", "TXT", "NOERROR", ['"v=spf1 -all"']),
        ("mx.example.org", "AAAA", "NOERROR", ["::1"]),
        ("alias.example.org", "A", "NOERROR", ["mx.example.org.", "127.0.0.3"]),
        ("out.example.org", "A", "NOERROR", ["www.elsewhere.test."]),
        ("_imaps._tcp.example.org", "SRV", "NOERROR", ["0 1 993 mx.example.org."]),
        ("any.thing.wild.example.org", "A", "NOERROR", ["127.0.0.9"]),
        ("er.example.org", "A", "NOERROR", []),
        ("mx.example.org", "TXT", "NOERROR", []),
        ("no.example.org", "A", "NXDOMAIN", []),
        ("sub.mx.example.org", "A", "NXDOMAIN", []),
        ("2.0.0.127.list.example.net", "A", "NOERROR", ["127.0.0.2"]),
        ("3.0.0.127.list.example.net", "A", "NXDOMAIN", []),
        ("broken.example.org", "A", "SERVFAIL", []),
        ("below.broken.example.org", "MX", "SERVFAIL", []),
        ("unkind.example.org", "A", "REFUSED", []),
        ("loop.example.org", "A", "SERVFAIL", []),
        ("elsewhere.test", "A", "REFUSED", []),
        (".", "NS", "REFUSED", []),
    ],
)
def test_answers(port: int, name: str, kind: str, code: str, answers: list[str], tcp: bool) -> None:
    reply = ask(port, name, kind, tcp)
    assert dns.rcode.to_text(reply.rcode()) == code
    assert [rdata.to_text() for rrset in reply.answer for rdata in rrset] == answers
    assert bool(reply.flags & dns.flags.AA) == (code in ("NOERROR", "NXDOMAIN"))


def test_mail_hosts_come_with_their_addresses(port: int) -> None:
    reply = ask(port, "example.org", "MX")
    assert {rdata.to_text() for rrset in reply.additional for rdata in rrset} == {"127.0.0.3", "::1"}


def test_a_negative_answer_says_for_how_long(port: int) -> None:
    for name in ("no.example.org", "er.example.org"):
        (soa,) = ask(port, name, "A").authority
        assert soa.rdtype == dns.rdatatype.SOA and soa.name.to_text() == "example.org."


def test_a_long_answer_is_truncated_and_complete_over_tcp(port: int) -> None:
    short = ask(port, "big.long.test", "TXT")
    assert short.flags & dns.flags.TC and not short.answer
    assert len(ask(port, "big.long.test", "TXT", tcp=True).answer[0]) == 5


def test_a_dead_name_server_says_nothing(port: int) -> None:
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(dns.message.make_query("gone.example.org", "A"), "127.0.0.1", port=port, timeout=0.2)


def test_rubbish_is_survived(port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        for datagram in (b"", b"x", b"\0" * 12, b"\xff" * 512, struct.pack("!6H", 7, 0x8000, 1, 0, 0, 0)):
            client.send(datagram)
    assert ask(port, "mx.example.org", "A").answer


def test_an_answer_is_not_answered(port: int) -> None:
    query = dns.message.make_query("mx.example.org", "A")
    query.flags |= dns.flags.QR
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.2)
        client.send(query.to_wire())
        with pytest.raises(TimeoutError):
            client.recv(512)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@ 60 IN SOA a b 1 2 3 4 5\n@ 60 IN NS a\nx 60 IN A not-an-address\n", r"^\S*bad.zone:\d+: \D*$"),
        ("@ 60 IN SOA a b 1 2 3 4 5\n@ 60 IN NS a\nx 60 IN TXT lab:nonsense\n", "unknown fault"),
        ("$INCLUDE /etc/passwd\n", "bad.zone"),
    ],
)
def test_a_bad_zone_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "bad.zone").write_text(text)
    with pytest.raises(ZoneError, match=expected):
        Zones.load(tmp_path)


LABELS = st.lists(st.sampled_from([b"mx", b"wild", b"*", b"gone", b"er", b"deep", b"org", b"example", b"\xff", b"a"]))


@given(labels=LABELS, kind=st.integers(0, 65535))
def test_every_question_has_an_answer(zones: Zones, labels: list[bytes], kind: int) -> None:
    name = dns.name.Name((*labels[:20], b"example", b"org", b""))
    answer = zones.answer(name, dns.rdatatype.RdataType.make(kind))
    assert answer.code in (None, dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED)
