"""loopback-only: the null client greets on the loopback addresses of its host and nowhere else."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Refused, Transcript

# Any address of the host that is not named by `loopback-only` will do; this one exists on every Linux host.
ANOTHER_ADDRESS = "127.0.0.5"


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """127.0.0.1 and ::1 greet; the same port on another address of the host refuses the connection."""
    port = lab.port("nullclient.smtp")
    for address in ("127.0.0.1", "::1"):
        async with await lab.smtp_at(address, port, evidence) as smtp:
            if smtp.greeting.code != 220:
                raise ProbeFailed(f"{address} greets with {smtp.greeting}")
    try:
        async with await lab.smtp_at(ANOTHER_ADDRESS, port, evidence) as smtp:
            return exposed(f"{ANOTHER_ADDRESS} greets: {smtp.greeting}")
    except Refused:
        return hardened(f"127.0.0.1 and ::1 greet 220, {ANOTHER_ADDRESS} refuses the connection")


BEHAVIOUR = Behaviour(
    slug="loopback-only",
    title="A machine that only sends mail listens on its loopback addresses only",
    source="D 5.6.1 Konfiguration eines Nullmailers; T Von wem?",
    why="A program that nobody can reach cannot be attacked from outside. A machine that only sends mail "
    "needs its SMTP port for its own programs alone, so it listens on the loopback addresses and on no "
    "other.",
    configuration=(Change("nullclient/main.cf", "inet_interfaces = loopback-only"),),
    expectation="127.0.0.1 and ::1 greet 220; every other address of the host refuses the connection",
    probe=probe,
    twin=Twin((Change("nullclient/main.cf", "inet_interfaces = all"),), "the other address greets, too"),
    instances=("nullclient",),
)
