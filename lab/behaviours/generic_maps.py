"""generic-maps: addresses that only this machine knows are replaced on the way out."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail of cron with the null client's own name in envelope and header, read in alice's mailbox."""
    alice, token = lab.user("alice"), lab.token()
    sender = "cron@client.lab.example"
    sent = await lab.sendmail(
        "nullclient", "-i", "-f", sender, alice.address, message=f"From: Cron <{sender}>\nSubject: {token}\n\njob\n"
    )
    if sent.status:
        raise ProbeFailed(f"sendmail: exit {sent.status}: {sent.errors.strip()}")
    mail = await lab.arrived(alice, token, evidence)
    told = [
        line for line in mail.decode("ascii", "replace").split("\r\n") if line.startswith(("Return-Path:", "From:"))
    ]
    for line in told:
        evidence.note(line)
    if any(sender in line for line in told):
        return exposed(f"the inner name is told: {told}")
    if len(told) == 2 and all("cron@lab.example" in line for line in told):
        return hardened(", ".join(told))
    raise ProbeFailed(f"{told}")


BEHAVIOUR = Behaviour(
    slug="generic-maps",
    title="Inner host names do not leave the house",
    source="L 3.2.1.1 main.cf (Address Mapping)",
    why="Mail of a machine that only the local network knows cannot be answered, and tells strangers how machines are "
    "named inside. generic(5) replaces such addresses in envelope and header when the mail is sent.",
    configuration=(
        Change("nullclient/main.cf", "smtp_generic_maps = hash:@{confdir}/generic"),
        Change("nullclient/generic", "@client.lab.example     @lab.example"),
    ),
    expectation="the address of generic(5) in envelope and header",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
