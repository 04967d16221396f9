"""recipient-verify: an unknown local recipient is refused at RCPT TO, not bounced later."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """alice is known, nobody-of-that-name is not."""
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.command("MAIL FROM:<friend@outside.example>")
        known = await smtp.command(f"RCPT TO:<{lab.user('alice').address}>")
        if known.code != 250:
            raise ProbeFailed(f"a known recipient is refused: {known}")
        unknown = await smtp.command(f"RCPT TO:<nobody-of-that-name@{lab.domain}>")
    if unknown.code == 250:
        return exposed(f"an unknown recipient is accepted: {unknown}")
    if unknown.code == 550 and unknown.enhanced == "5.1.1":
        return hardened(unknown)
    raise ProbeFailed(str(unknown))


BEHAVIOUR = Behaviour(
    slug="recipient-verify",
    title="Mail for users who do not exist is refused while the client is still there",
    source="D 5.6.1 (receiver_verify = true)",
    why="Mail for invented addresses, once accepted, has to be bounced, mostly to innocent people whose "
    "address was forged. A recipient that does not exist is refused while the sender is still connected.",
    configuration=(Change("mailhost/main.cf", "local_recipient_maps ="),),
    expectation="550 5.1.1 ... User unknown in local recipient table, at RCPT TO",
    probe=probe,
    twin=Twin((Change("mailhost/main.cf", "local_recipient_maps ="),), "250, and a bounce to a forged sender later"),
)
