"""virtual-aliases: in a virtual alias domain every address stands for others; none has a mailbox."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

ALIASES = (
    Change("mailhost/main.cf", "virtual_alias_domains = hosted.example"),
    Change("mailhost/virtual", "info@hosted.example alice@lab.example\nteam@hosted.example alice@lab.example, bob"),
)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """An alias for one, an alias for two, an address that is none, and a local user's name."""
    one, two = lab.token(), lab.token()
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        for recipient, token in (("info@hosted.example", one), ("team@hosted.example", two)):
            reply = await smtp.send_message("friend@outside.example", [recipient], lab.message(token))
            if reply.code != 250:
                raise ProbeFailed(f"<{recipient}>: {reply}")
        await smtp.command("MAIL FROM:<friend@outside.example>")
        for recipient in ("nobody@hosted.example", "alice@hosted.example"):
            reply = await smtp.command(f"RCPT TO:<{recipient}>")
            if reply.code == 250:
                return exposed(f"<{recipient}> is accepted: {reply}")
            if (reply.code, reply.enhanced) != (550, "5.1.1"):
                raise ProbeFailed(f"<{recipient}>: {reply}")
    for user, token in (("alice", one), ("alice", two), ("bob", two)):
        await lab.arrived(lab.user(user), token, evidence)
    return hardened(reply)


BEHAVIOUR = Behaviour(
    slug="virtual-aliases",
    title="Addresses of a hosted domain are forwarded, and only the ones in the table",
    source="T Virtuelle Domains",
    why="In mydestination every domain has the same users, so alice would receive mail at every hosted domain. A "
    "virtual alias domain has only the addresses that its table names; all others are refused at RCPT TO.",
    configuration=ALIASES,
    expectation="forwarded, no mailbox; 550 5.1.1 User unknown in virtual alias table",
    probe=probe,
    given=ALIASES,
    shared=False,
)
