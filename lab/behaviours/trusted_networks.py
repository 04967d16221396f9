"""trusted-networks: clients of `mynetworks` may relay, all others may not."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import Reply, Transcript


async def relay_from(source: str, lab: Lab, evidence: Transcript) -> Reply:
    """What a client at `source` is told when it wants to relay."""
    async with await lab.smtp("mailhost.smtp", evidence, source=source) as smtp:
        await smtp.ehlo()
        await smtp.command(f"MAIL FROM:<{lab.user('alice').address}>")
        return await smtp.command("RCPT TO:<friend@far.example>")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The mail host itself is inside; another host is outside."""
    inside = await relay_from(lab.address("mailhost.smtp"), lab, evidence)
    outside = await relay_from(STRANGER, lab, evidence)
    if inside.code != 250:
        raise ProbeFailed(f"a trusted client may not relay: {inside}")
    if outside.code == 250:
        return exposed(f"a client outside mynetworks relays: {outside}")
    if outside.code == 554 and outside.enhanced == "5.7.1":
        return hardened(f"inside 250, outside {outside}")
    raise ProbeFailed(str(outside))


BEHAVIOUR = Behaviour(
    slug="trusted-networks",
    title="Only clients in mynetworks relay without logging in",
    source="T mynetworks",
    why="Whoever is in mynetworks sends mail to everybody without a password. A range that is too wide makes "
    "an open relay; it holds the machine itself or the local network, never others.",
    configuration=(Change("mailhost/main.cf", "mynetworks = 127.0.0.2/32"),),
    expectation="250 inside, 554 5.7.1 Relay access denied outside",
    probe=probe,
    twin=Twin((Change("mailhost/main.cf", "mynetworks = 0.0.0.0/0"),), "everybody relays"),
)
