"""Real Postfix asks our policy server."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript
from mta.dns import Answer, NotFound, Record, Resolver, TempFail
from mta.policyd import Checker
from mta.policyd.policy import Policy
from mta.policyd.service import PolicyServer
from tests.interop import realpostfix

pytestmark = pytest.mark.interop

RECORDS = {"good.example": "v=spf1 ip4:127.0.0.1 -all", "bad.example": "v=spf1 -all"}
MAIN = """\
myhostname = mx.example.net
mydestination = example.net
local_recipient_maps =
local_transport = discard:
defer_transports = discard
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:{port}
"""


class Zone(Resolver):
    """TXT records of two domains; down.example cannot be asked."""

    async def query(self, name: str, kind: str) -> Answer:
        if name == "down.example":
            raise TempFail(name, kind, "try again")
        if kind != "TXT" or name not in RECORDS:
            raise NotFound(name, kind, "not found", exists=False)
        return Answer(name, (Record(kind, RECORDS[name]),))


@pytest.mark.needs_root
async def test_real_postfix_asks_for_spf(peer: Callable[[str, str], str], place: Path) -> None:
    postfix = peer("postfix", "postfix")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = PolicyServer(Policy(Checker(Zone()), "mx.example.net"))
    await server.listen([listener])
    port = Lab.free_port()
    main = MAIN.format(port=listener.getsockname()[1])
    try:
        with realpostfix.running(postfix, place, f"127.0.0.1:{port}  inet  n  -  n  -  -  smtpd\n", main):
            replies = {}
            for domain in ("good", "bad", "down", "nowhere"):
                async with await SMTP.open("127.0.0.1", port, transcript=Transcript()) as smtp:
                    await smtp.ehlo("client.nowhere.example")
                    replies[domain] = await smtp.send_message(f"a@{domain}.example", ["b@example.net"], "X: y\n\nz\n")
            message = {domain: queued(place, replies[domain].text) for domain in ("good", "nowhere")}
    finally:
        await server.close()
    assert str(replies["bad"]).startswith(
        "550 5.7.23 <b@example.net>: Recipient address rejected: Message rejected due to: SPF fail - not authorized. "
    )
    assert replies["down"].code == 450
    assert replies["down"].enhanced == "4.7.24"
    assert "\nReceived-SPF: pass (mx.example.net: domain of a@good.example designates 127.0.0.1 " in message["good"]
    assert "\nReceived-SPF: none (mx.example.net: domain of a@nowhere.example has no SPF record)" in message["nowhere"]


def queued(place: Path, reply: str) -> str:
    """The message that a `queued as` reply tells of."""
    argv = ["postcat", "-c", str(place / "conf"), "-q", reply.split()[-1]]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=10).stdout
