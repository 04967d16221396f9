"""inet-protocols: the protocol family that is switched off refuses connections."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Refused, Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The null client greets over IPv4; over IPv6 the connection is refused."""
    port = lab.port("nullclient.smtp")
    async with await lab.smtp_at("127.0.0.1", port, evidence):
        pass
    try:
        async with await lab.smtp_at("::1", port, evidence) as smtp:
            return exposed(f"::1 greets: {smtp.greeting}")
    except Refused:
        return hardened("127.0.0.1 greets, ::1 refuses the connection")


BEHAVIOUR = Behaviour(
    slug="inet-protocols",
    title="A protocol family that is not used is switched off",
    source="T Von wem?",
    why="A firewall that was written for IPv4 does not see IPv6. A family that is not wanted is not listened "
    "on, so a forgotten second door cannot stay open.",
    configuration=(Change("nullclient/main.cf", "inet_protocols = ipv4"),),
    expectation="the family that is off refuses the connection",
    probe=probe,
    given=(Change("nullclient/main.cf", "inet_protocols = ipv4"),),
    twin=Twin((Change("nullclient/main.cf", "inet_protocols = all"),), "::1 greets, too"),
    instances=("nullclient",),
    shared=False,
)
