"""How strict a mail exchanger is with the manners of its clients: HELO, senders, waiting for answers."""

from __future__ import annotations

from typing import Final

from lab.audit.checks.recipients import rcpt
from lab.audit.finding import Rule, Severity
from lab.audit.visit import Visit
from lab.behaviours.early_talkers import at_once
from lab.wire import SMTP, Transcript, WireClosed, WireError

HELO: Final = Rule(
    "helo-checks",
    "Clients need not say who they are",
    Severity.LOW,
    20,
    "Bots send mail without HELO, or with a made-up word; asking for a name costs honest senders nothing.",
    {
        "Postfix": "smtpd_helo_required = yes\nsmtpd_helo_restrictions = reject_invalid_helo_hostname, "
        "reject_non_fqdn_helo_hostname",
        "Exim": "acl_check_mail:\n  deny condition = ${if eq{$sender_helo_name}{}}",
        "sendmail": "define(`confPRIVACY_FLAGS', `needmailhelo')dnl",
    },
)
SENDER: Final = Rule(
    "sender-checks",
    "Senders that cannot exist are accepted",
    Severity.LOW,
    20,
    "Mail from an address without a domain, or of a domain that is not, cannot be answered: it is forged.",
    {
        "Postfix": "smtpd_sender_restrictions = reject_non_fqdn_sender, reject_unknown_sender_domain",
        "Exim": "acl_check_rcpt:\n  require verify = sender",
        "sendmail": "# remove FEATURE(`accept_unqualified_senders') and FEATURE(`accept_unresolvable_domains')",
        "OpenSMTPD": "match mail-from regex '^[^@]+$' for any reject",
    },
)
EARLY: Final = Rule(
    "early-talkers",
    "Clients that do not listen are served",
    Severity.LOW,
    799,
    "Bots push a whole mail into the connection at once. RFC 2920 allows that only once EHLO has announced it.",
    {
        "Postfix": "smtpd_data_restrictions = reject_unauth_pipelining\nsmtpd_client_restrictions = "
        "permit_mynetworks, reject_unauth_pipelining",
        "Exim": "smtp_enforce_sync = true",
        "sendmail": "FEATURE(`greet_pause', `5000')dnl",
    },
)
RULES: Final = (HELO, SENDER, EARLY)

MALFORMED, UNQUALIFIED = "-bad-.example", "workstation"
NO_DOMAIN: Final = "hardmail-audit@does-not-exist.invalid"
"""A name below `invalid` exists nowhere (RFC 6761 section 6.4)."""


async def check(visit: Visit) -> None:
    """Only where a stranger's mail is taken at all."""
    if visit.target.kind.protocol != "smtp" or visit.target.kind.for_users or not visit.recipient:
        return
    if visit.trusted_place:
        visit.note("manners", "not looked at: the server may trust clients of this machine (--source)")
        return
    await _helo(visit)
    await _senders(visit)
    await _early(visit)


def _report(visit: Visit, rule: Rule, said: str, evidence: Transcript) -> None:
    """What holds for the postmaster may not hold for others: everybody has to be able to write there (RFC 5321)."""
    if visit.recipient.partition("@")[0].lower() != "postmaster":
        visit.report(rule, said, evidence)
    else:
        visit.report(rule, f"{said}, if only for <{visit.recipient}> (--recipient)", evidence, Severity.INFO)


async def _helo(visit: Visit) -> None:
    accepted: list[str] = []
    evidence = Transcript()
    for name in (None, MALFORMED, UNQUALIFIED):
        client = await visit.connect(SMTP, evidence)
        async with client:
            if visit.tls_required:
                await visit.secure(client)
            if name and (await client.command(f"HELO {name}")).code != 250:
                continue
            reply = await rcpt(visit, client, visit.settings.sender, visit.recipient)
            if reply.code == 250:
                accepted.append(f"HELO {name}" if name else "no HELO")
    if accepted:
        _report(visit, HELO, f"mail is taken after {', '.join(accepted)}", evidence)


async def _senders(visit: Visit) -> None:
    evidence = Transcript()
    async with visit.smtp(evidence) as smtp:
        senders = ("workstation", NO_DOMAIN)
        accepted = [s for s in senders if (await rcpt(visit, smtp, s, visit.recipient)).code == 250]
    if accepted:
        _report(visit, SENDER, f"mail from {', '.join(f'<{sender}>' for sender in accepted)} is taken", evidence)


async def _early(visit: Visit) -> None:
    """Everything in one packet, before EHLO is answered."""
    if visit.tls_required or "PIPECONNECT" in visit.facts["keywords"]:
        return  # Exim announces that it may be done
    evidence = Transcript()
    client = await visit.connect(SMTP, evidence)
    async with client:
        try:
            reply = await at_once(f"EHLO {visit.helo(client)}", client, visit.recipient)
        except WireClosed:
            return
        except WireError as error:
            visit.note("early talkers", str(error))
            return
    if reply.code == 250:
        _report(visit, EARLY, f"EHLO, MAIL and RCPT at once: {reply}", evidence)
