"""helo-checks: a client that does not say who it is, or says nonsense, is not served."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import without
from lab.behaviours.stack import Lab
from lab.wire import Reply, Transcript

# What a client says of itself, and the reply that RCPT TO then gets.
NAMES = (("-bad-.example", 501, "5.5.2"), ("workstation", 504, "5.5.2"), ("host66.outside.example", 250, None))


async def recipient_after(helo: str | None, lab: Lab, evidence: Transcript) -> Reply:
    """The first refusal on the way to alice, or the reply to RCPT TO."""
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        if helo is not None:
            reply = await smtp.command(f"HELO {helo}")
            if reply.code != 250:
                return reply
        reply = await smtp.command("MAIL FROM:<friend@outside.example>")
        return await smtp.command(f"RCPT TO:<{lab.user('alice').address}>") if reply.code == 250 else reply


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """No HELO at all, a name that is none, a name without a domain, a proper name."""
    silent = await recipient_after(None, lab, evidence)
    if silent.code == 250:
        return exposed(f"mail without HELO: {silent}")
    if silent.code != 503:
        raise ProbeFailed(f"without HELO: {silent}")
    for name, code, enhanced in NAMES:
        reply = await recipient_after(name, lab, evidence)
        if reply.code == 250 and code != 250:
            return exposed(f"HELO {name}: {reply}")
        about_the_name = code == 250 or f"<{name}>: Helo command rejected" in reply.text
        if reply.code != code or (enhanced and reply.enhanced != enhanced) or not about_the_name:
            raise ProbeFailed(f"HELO {name}: {reply}")
    return hardened("503 without HELO, 501 for a malformed name, 504 for one without a domain, 250 for a proper one")


BEHAVIOUR = Behaviour(
    slug="helo-checks",
    title="A client introduces itself with a proper name",
    source="P Konfiguration für postfix",
    why="Bots send mail without HELO, or with a made-up word. A mail server has a name with a domain, so asking for "
    "one costs honest senders nothing.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_helo_required = yes"),
        Change("mailhost/main.cf", "reject_invalid_hostname,\nreject_non_fqdn_hostname,"),
    ),
    expectation="503 without HELO; 501 5.5.2 for a malformed name, 504 5.5.2 for one without a domain",
    probe=probe,
    twin=Twin(
        (
            Change("mailhost/main.cf", "smtpd_helo_required = no"),
            without("smtpd_recipient_restrictions", "reject_invalid_hostname", "reject_non_fqdn_hostname"),
        ),
        "mail is accepted from whoever says nothing",
    ),
)
