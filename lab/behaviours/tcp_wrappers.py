"""tcp-wrappers: hosts.allow and hosts.deny turn a client away before it hears a word."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import SMTP, Connection, Transcript, WireClosed

UNWANTED, NAME, LOCAL = "127.0.0.66", "host66.outside.example", "127.0.0.1"
LOG_LINE = f"refused connect from {NAME}[{UNWANTED}]"

FILES = (
    Change("mailhost/hosts.allow", f"smtpd: {LOCAL} .outside.example EXCEPT {UNWANTED}\nimap pop3: {LOCAL}"),
    Change("mailhost/hosts.deny", "ALL: ALL"),
)
SWITCHED_ON = (
    Change(
        "mailhost/main.cf",
        "hardmail_hosts_allow = @{confdir}/hosts.allow\nhardmail_hosts_deny = @{confdir}/hosts.deny",
    ),
    Change(
        "mailhost/dovecot.conf",
        "login_access_sockets = tcpwrap\n"
        "hardmail_hosts_allow = @{confdir}/hosts.allow\n"
        "hardmail_hosts_deny = @{confdir}/hosts.deny",
    ),
)


async def greeted(lab: Lab, service: str, source: str, evidence: Transcript) -> bool:
    """Whether a client at `source` hears a greeting."""
    address, port = lab.endpoint(f"mailhost.{service}")
    kind = SMTP if service == "smtp" else Connection
    try:
        async with await kind.open(address, port, source=source, transcript=evidence) as connection:
            if kind is Connection:
                await connection.read_line()
            return True
    except WireClosed:
        evidence.note("closed without a word")
        return False


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """SMTP, IMAP and POP3 for those whom hosts.allow names, and for those whom only hosts.deny does."""
    refused = (("smtp", UNWANTED), ("imap", STRANGER), ("pop3", STRANGER))
    for service, source in refused:
        if await greeted(lab, service, source, evidence):
            return exposed(f"{source} is greeted on {service}")
    for service, source in (("smtp", STRANGER), ("smtp", LOCAL), ("imap", LOCAL), ("pop3", LOCAL)):
        if not await greeted(lab, service, source, evidence):
            raise ProbeFailed(f"{source}, which hosts.allow names, is not greeted on {service}")
    if (lines := told(lab)) != 1:
        raise ProbeFailed(f"the log has {lines} lines that say: {LOG_LINE}")
    evidence.note(f"log: {LOG_LINE}")
    return hardened(f"closed before the banner; {LOG_LINE}")


def told(lab: Lab) -> int:
    """How many lines of the log tell of the unwanted client."""
    return (lab.directory / "log" / "mailhost.log").read_text("utf-8", "replace").count(LOG_LINE)


BEHAVIOUR = Behaviour(
    slug="tcp-wrappers",
    title="A client that hosts.deny names is dropped before the banner",
    source="D 5.6 Absichern von Mail-Diensten",
    why="What never hears a banner can try neither a password nor an exploit. The tables of TCP wrappers "
    "protect every service of a machine in one place; the first rule that matches decides, hosts.allow comes first.",
    configuration=(
        Change("mailhost/hosts.allow", "smtpd: 127.0.0.1"),
        Change("mailhost/hosts.deny", "ALL: ALL"),
        Change("mailhost/dovecot.conf", "login_access_sockets = tcpwrap"),
    ),
    expectation="the connection ends before the banner; one log line: refused connect from name[address]",
    probe=probe,
    given=(*FILES, *SWITCHED_ON),
    twin=Twin(
        (
            Change("mailhost/main.cf", "hardmail_hosts_allow =\nhardmail_hosts_deny ="),
            Change("mailhost/dovecot.conf", "login_access_sockets =\nhardmail_hosts_allow =\nhardmail_hosts_deny ="),
        ),
        "everybody is greeted",
    ),
    shared=False,
)
