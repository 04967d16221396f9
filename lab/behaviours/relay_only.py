"""relay-only: a configuration that can do nothing but forward."""

from __future__ import annotations

import json

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

# A listener is told as its protocol and its address; the queue manager's is a socket file.
LOOPBACK = ("smtp 127.0.0.1:", "smtp [::1]:", "qmgr /")


async def listeners(lab: Lab) -> list[str]:
    """Where the null client accepts connections, as `hardmail status` tells. Raises ProbeFailed."""
    result = await lab.hardmail("status", "--json", "--dir", str(lab.directory))
    if result.status:
        raise ProbeFailed(f"hardmail status: {result.errors.strip()}")
    return [
        where
        for state in json.loads(result.output)
        for service in state["services"]
        if service["name"].startswith("nullclient/")
        for where in service["listeners"]
    ]


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """No listener but loopback, no delivery agent in master.cf, and no address that stays on this machine."""
    open_to_others = []
    for where in await listeners(lab):
        evidence.note(f"listens on {where}")
        if not where.startswith(LOOPBACK):
            open_to_others.append(where)
    if open_to_others:
        return exposed(f"listens on {open_to_others[0]}")
    shown = await lab.hardmail("postconf", "-c", str(lab.confdir("nullclient")), "-M")
    programs = {line.split()[7] for line in shown.output.splitlines() if line and not line.startswith(" ")}
    evidence.note(f"programs in master.cf: {' '.join(sorted(programs))}")
    if agents := programs & {"local", "virtual", "pipe", "lmtp"}:
        return exposed(f"delivery agents: {agents}")
    async with await lab.smtp("nullclient.smtp", evidence, source="127.0.0.1") as smtp:
        await smtp.ehlo("localhost")
        await smtp.command("MAIL FROM:<root>")
        reply = await smtp.command("RCPT TO:<root@[127.0.0.1]>")
    if reply.code == 250:
        return exposed(f"mail for this machine itself is accepted: {reply}")
    if "null client" not in reply.text:
        raise ProbeFailed(str(reply))
    return hardened(f"loopback only, no delivery agent; {reply}")


BEHAVIOUR = Behaviour(
    slug="relay-only",
    title="A machine that only sends has nothing to receive with",
    source="D 5.6.1 (ssmtp, nullmailer)",
    why="Every program that runs can be attacked. A machine that only sends mail needs no port that others can reach, "
    "and no program that writes into mailboxes with the rights of users.",
    configuration=(
        Change("nullclient/main.cf", "inet_interfaces = loopback-only"),
        Change("nullclient/main.cf", "local_transport = error:5.1.1 this is a null client, it delivers no mail"),
    ),
    expectation="no listener but loopback, no local delivery agent, 5.1.1 for an address of the machine itself",
    probe=probe,
    instances=("nullclient",),
)
