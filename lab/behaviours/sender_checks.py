"""sender-checks: an envelope address that can never be answered is not accepted."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import without
from lab.behaviours.stack import Lab
from lab.wire import Transcript

GOOD = "friend@outside.example"


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Senders without a domain and with one that does not exist; a recipient without a domain; then a proper mail."""
    alice = lab.user("alice").address
    cases = (
        ("friend", alice, 504, "5.5.2"),
        ("friend@outside", alice, 504, "5.5.2"),
        ("friend@nosuch.outside.example", alice, 450, "4.1.8"),
        (GOOD, "alice", 504, "5.5.2"),
        (GOOD, alice, 250, "2.1.5"),
    )
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        for sender, recipient, code, enhanced in cases:
            reply = await smtp.command(f"MAIL FROM:<{sender}>")
            if reply.code == 250:
                reply = await smtp.command(f"RCPT TO:<{recipient}>")
            if reply.code == 250 and code != 250:
                return exposed(f"<{sender}> to <{recipient}>: {reply}")
            if (reply.code, reply.enhanced) != (code, enhanced):
                raise ProbeFailed(f"<{sender}> to <{recipient}>: {reply}")
            await smtp.command("RSET")
    return hardened("504 for addresses without a domain, 450 for a sender's domain that does not exist")


BEHAVIOUR = Behaviour(
    slug="sender-checks",
    title="Nobody can be answered at an address that does not exist",
    source="P Konfiguration für postfix",
    why="Spam comes from invented addresses, and a bounce to one of them stays in our queue for days. An address "
    "without a domain, or with one that the DNS does not know, is refused at RCPT TO.",
    configuration=(
        Change(
            "mailhost/main.cf",
            "smtpd_sender_restrictions =\n"
            "  permit_mynetworks,\n"
            "  permit_sasl_authenticated,\n"
            "  reject_unknown_sender_domain,\n"
            "  reject_non_fqdn_sender",
        ),
        Change("mailhost/main.cf", "reject_non_fqdn_recipient,"),
    ),
    expectation="504 5.5.2 for an address without a domain, 450 4.1.8 for an unknown domain",
    probe=probe,
    twin=Twin(
        (
            Change("mailhost/main.cf", "smtpd_sender_restrictions ="),
            without("smtpd_recipient_restrictions", "reject_non_fqdn_recipient"),
        ),
        "any sender is accepted",
    ),
)
