"""Which recipients a mail exchanger takes: everybody's mail or only its own, anybody's name or only a user's."""

from __future__ import annotations

import secrets
from typing import Final

from lab.audit.checks.greeting import HOSTNAME
from lab.audit.finding import Rule, Severity
from lab.audit.target import is_ours
from lab.audit.visit import Visit
from lab.behaviours.no_open_relay import ERRORS_EACH, forms
from lab.wire import SMTP, Reply, Transcript, WireClosed

RELAY: Final = Rule(
    "no-open-relay",
    "Strangers can send mail to strangers through the server",
    Severity.CRITICAL,
    441,
    "Spammers look for servers that pass on mail for anybody, and such servers soon stand on every blocklist.",
    {
        "Postfix": "smtpd_relay_restrictions =\n  permit_mynetworks, "
        "permit_sasl_authenticated, reject_unauth_destination",
        "Exim": "acl_check_rcpt:\n  require domains = +local_domains : +relay_to_domains",
        "sendmail": "# remove FEATURE(`promiscuous_relay') and FEATURE(`relay_local_from')",
        "OpenSMTPD": 'match from any for domain "example.org" action "in"\nmatch auth from any for any action "out"',
    },
)
LOCAL_RELAY: Final = Rule(
    "trusted-networks",
    "Clients of this machine may relay without a log-in",
    Severity.INFO,
    441,
    "As intended where only this machine's own programs can reach the port; what strangers may is seen only from "
    "another machine, or with --source from an address that is not trusted.",
    {"Postfix": "mynetworks = 127.0.0.1/32 [::1]/128", "Exim": "dc_relay_nets=''"},
)
UNVERIFIED: Final = Rule(
    "recipient-verify",
    "Mail for users that do not exist is taken",
    Severity.LOW,
    406,
    "It comes back later as a bounce, to a sender that spammers have forged: to a bystander (backscatter).",
    {
        "Postfix": "local_recipient_maps = proxy:unix:passwd.byname $alias_maps\nsmtpd_reject_unlisted_recipient = yes",
        "Exim": "acl_check_rcpt:\n  require verify = recipient",
        "sendmail": "# remove LUSER_RELAY",
        "OpenSMTPD": 'match from any for domain "example.org" rcpt-to <users> action "local"',
    },
)
SUBMISSION: Final = Rule(
    "submission-unauthenticated",
    "The submission server takes mail without a log-in",
    Severity.MEDIUM,
    306,
    "RFC 6409 section 4.3 asks for a log-in first: this port passes the checks that a mail exchanger makes.",
    {
        "Postfix": "  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject",
        "Exim": "acl_check_rcpt:\n  deny condition = ${if eq{$received_port}{587}}\n       !authenticated = *",
        "sendmail": "DAEMON_OPTIONS(`Name=MSA, Port=587, M=Ea')dnl",
        "OpenSMTPD": "listen on ... port 587 tls-require auth",
    },
)
RCPT: Final = Rule(
    "rcpt-enumeration",
    "RCPT TO tells users from others",
    Severity.INFO,
    204,
    "A mail exchanger that refuses unknown recipients, as it should, can be asked for names one by one. Limits on "
    "errors and connections make that slow.",
    {"Postfix": "smtpd_hard_error_limit = 10\nsmtpd_client_connection_rate_limit = 60"},
)
ENUMERATION: Final = Rule(
    "no-user-enumeration",
    "Strangers can ask who has a mailbox here (VRFY, EXPN)",
    Severity.MEDIUM,
    204,
    "Spammers collect addresses with VRFY and EXPN, attackers log-in names.",
    {
        "Exim": "# remove acl_smtp_vrfy and acl_smtp_expn",
        "sendmail": "define(`confPRIVACY_FLAGS', `novrfy,noexpn')dnl",
        "OpenSMTPD": "# it answers neither",
    },
)
RULES: Final = (RELAY, LOCAL_RELAY, UNVERIFIED, SUBMISSION, RCPT, ENUMERATION)

DIRECT: Final = ("{victim}", "@{domain}:{victim}", "@[{address}]:{victim}")
"""Recipients that name the stranger as they stand; in the others a catch-all server may see a user of its own."""


async def check(visit: Visit) -> None:
    """First who is at home, then the relay forms, then VRFY and EXPN."""
    if visit.target.kind.protocol != "smtp":
        return
    await _at_home(visit)
    await _relay(visit)
    await _asked(visit)


def nobody() -> str:
    """A local part that no user has."""
    return f"hardmail-audit-{secrets.token_hex(6)}"


async def rcpt(visit: Visit, smtp: SMTP, sender: str, recipient: str) -> Reply:
    """The reply to RCPT TO, or the refusal before it; the transaction is given up."""
    reply = await smtp.command(f"MAIL FROM:<{sender}>")
    if reply.code == 250:
        reply = await smtp.command(f"RCPT TO:<{recipient}>")
        if reply.code != 421:
            await smtp.command("RSET")
    return reply


async def _at_home(visit: Visit) -> None:
    """Find a recipient that is accepted, and with it the domain; then one that does not exist in that domain."""
    host = visit.hostname
    parent = host.partition(".")[2] if host.count(".") > 1 else ""
    domains = [d for d in dict.fromkeys([visit.domain, host, parent]) if d and HOSTNAME.fullmatch(d)]
    known = [visit.settings.recipient] if visit.settings.recipient else []
    known += [f"postmaster@{domain}" for domain in domains]
    if not visit.target.kind.for_users:
        known.append("postmaster")  # without a domain every server has to take it (RFC 5321 section 2.3.5)
    evidence = Transcript()
    async with visit.smtp(evidence) as smtp:
        for recipient in known:
            reply = await rcpt(visit, smtp, visit.settings.sender, recipient)
            if reply.code == 250:
                break
            visit.note("mail for us", f"<{recipient}>: {reply}")
        else:
            return
        visit.recipient = recipient
        visit.domain = visit.domain or recipient.partition("@")[2]
        visit.note("mail for us", f"<{recipient}>: {reply}")
        if visit.target.kind.for_users and not visit.trusted_place:
            visit.report(SUBMISSION, f"<{recipient}> without AUTH: {reply}", evidence)
        stranger = f"{nobody()}@{visit.domain}" if visit.domain else nobody()
        refused = await rcpt(visit, smtp, visit.settings.sender, stranger)
    visit.catch_all = refused.code == 250
    if visit.catch_all:
        visit.report(UNVERIFIED, f"<{stranger}> is taken: {refused}", evidence)
    elif refused.code // 100 == 5:
        visit.report(RCPT, f"<{recipient}>: {reply}; <{stranger}>: {refused}", evidence)


async def _relay(visit: Visit) -> None:
    """The forms of abuse.net, at RCPT TO; nothing is sent."""
    domain = visit.domain or visit.hostname or str(visit.target.host)
    address = f"IPv6:{visit.address}" if visit.address.version == 6 else str(visit.address)
    victim = visit.settings.victim
    direct = [form.format(victim=victim, domain=domain, address=address) for form in DIRECT]
    tried = forms(domain, address, visit.settings.sender, *victim.rsplit("@", 1))
    accepted: list[str] = []
    left = list(reversed(tried))
    while left:
        async with visit.smtp(Transcript()) as smtp:
            for _ in range(ERRORS_EACH):
                if not left:
                    break
                sender, recipient = left.pop()
                try:
                    reply = await rcpt(visit, smtp, sender, recipient)
                except WireClosed:  # too many errors, or one too bad: the next form on a new connection
                    break
                if reply.code == 250 and (recipient in direct or not visit.catch_all):
                    accepted.append(f"MAIL FROM:<{sender}> RCPT TO:<{recipient}>: {reply}")
    visit.note("relay forms accepted", f"{len(accepted)} of {len(tried)}")
    if accepted:
        rule = LOCAL_RELAY if visit.trusted_place else RELAY
        said = f"{len(accepted)} of {len(tried)} forms are accepted, such as {accepted[0]}"
        if not visit.settings.source and is_ours(visit.address) and rule is RELAY:
            said += " (if clients of this network may relay, look from another: --source)"
        visit.report(rule, said, [f"* {line}" for line in accepted])


async def _asked(visit: Visit) -> None:
    evidence = Transcript()
    async with visit.smtp(evidence) as smtp:
        known = visit.recipient or "postmaster"
        unknown = f"{nobody()}@{visit.domain}" if visit.domain else nobody()
        for verb in ("VRFY", "EXPN"):
            yes, no = await smtp.command(f"{verb} {known}"), await smtp.command(f"{verb} {unknown}")
            told = no.code // 100 == 5 and no.code not in (500, 501, 502, 503, 504)
            if (yes.code in (250, 251) and no.code not in (250, 251)) or (yes.code == 252 and told):
                visit.report(ENUMERATION, f"{verb} tells known ({yes}) from unknown ({no})", evidence)
                return
