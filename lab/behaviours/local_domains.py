"""local-domains: in the domains of `mydestination` the same local part is the same mailbox."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail to alice at two domains of the list arrives in one mailbox; a domain outside the list is not local."""
    alice = lab.user("alice")
    tokens = {domain: lab.token() for domain in (lab.domain, "mail." + lab.domain)}
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        for domain, token in tokens.items():
            reply = await smtp.send_message("friend@outside.example", [f"alice@{domain}"], lab.message(token))
            if reply.code != 250:
                raise ProbeFailed(f"alice@{domain}: {reply}")
        await smtp.command("MAIL FROM:<friend@outside.example>")
        foreign = await smtp.command("RCPT TO:<alice@far.example>")
    if foreign.code == 250:
        return exposed(f"alice@far.example is taken for local: {foreign}")
    for token in tokens.values():
        await lab.arrived(alice, token, evidence)
    return hardened(f"one mailbox for alice at {' and '.join(tokens)}")


BEHAVIOUR = Behaviour(
    slug="local-domains",
    title="Every domain of mydestination is the same set of local users",
    source="T mydestination",
    why="In mydestination all domains share the local users. A domain that is not listed is not local, so a "
    "forgotten or foreign one does not deliver into people's mailboxes.",
    configuration=(Change("mailhost/main.cf", "mydestination ="),),
    expectation="the same local part in two listed domains is one mailbox",
    probe=probe,
)
