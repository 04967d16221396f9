"""no-open-relay: a stranger cannot send mail to strangers through the mail host, in any of the classic forms."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

# A client that makes more errors than smtpd_soft_error_limit is answered ever more slowly.
ERRORS_EACH = 8
STRANGER, VICTIM, FAR = "spammer@outside.example", "victim", "far.example"


def forms(
    domain: str, address: str, stranger: str = STRANGER, victim: str = VICTIM, far: str = FAR
) -> list[tuple[str, str]]:
    """The relay tests of abuse.net: (reverse-path, forward-path) for a server of `domain` at `address`.

    `victim`@`far` is the recipient to whom it must not relay.
    """
    return [
        (stranger, f"{victim}@{far}"),
        ("", f"{victim}@{far}"),
        (f"postmaster@{domain}", f"{victim}@{far}"),
        (f"spammer@[{address}]", f"{victim}@{far}"),
        (stranger, f"{victim}%{far}@{domain}"),
        (stranger, f"{victim}%{far}@[{address}]"),
        (stranger, f'"{victim}@{far}"'),
        (stranger, f'"{victim}%{far}"'),
        (stranger, f'"{victim}@{far}"@{domain}'),
        (stranger, f"{victim}@{far}@{domain}"),
        (stranger, f"{victim}@{far}@[{address}]"),
        (stranger, f"@{domain}:{victim}@{far}"),
        (stranger, f"@[{address}]:{victim}@{far}"),
        (stranger, f"{far}!{victim}"),
        (stranger, f"{far}!{victim}@{domain}"),
        (stranger, f"{far}!{victim}@[{address}]"),
    ]


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """No form is accepted at RCPT TO. The transaction is always given up, so no mail is sent either way."""
    tried = forms(lab.domain, lab.address("mailhost.smtp"))
    for start in range(0, len(tried), ERRORS_EACH):
        async with await lab.smtp("mailhost.smtp", evidence) as smtp:
            await smtp.ehlo("spammer.outside.example")
            for sender, recipient in tried[start : start + ERRORS_EACH]:
                reply = await smtp.command(f"MAIL FROM:<{sender}>")
                if reply.code == 250:
                    reply = await smtp.command(f"RCPT TO:<{recipient}>")
                if reply.code == 250:
                    return exposed(f"<{recipient}> is accepted: {reply}")
                if reply.code // 100 != 5:
                    raise ProbeFailed(f"<{recipient}>: {reply}")
                await smtp.command("RSET")
    return hardened(f"all {len(tried)} forms refused, the last with {reply}")


BEHAVIOUR = Behaviour(
    slug="no-open-relay",
    title="Strangers cannot relay through the mail host",
    source="D 5.6.1 (abuse.net relay test); T Authentifikation: Postfix main.cf; P Konfiguration für postfix",
    why="Spammers look for servers that pass on mail for anybody, and such servers soon stand on every "
    "blocklist. The address can be disguised with %, !, quotes and source routes; it is resolved before "
    "the decision.",
    configuration=(Change("mailhost/main.cf", "reject_unauth_destination"),),
    expectation="554 5.7.1 Relay access denied (or 501, 550) for every classic relay form",
    probe=probe,
    twin=Twin(
        (Change("mailhost/main.cf", "smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = permit"),),
        "250 for a stranger's recipient",
    ),
)
