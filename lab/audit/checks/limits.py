"""What one client can ask of a server: errors, sizes, recipients, connections."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from lab.audit.finding import Rule, Severity
from lab.audit.settings import Allow
from lab.audit.visit import KINDS, Visit
from lab.wire import IMAP, POP3, SMTP, Connection, Transcript, WireClosed, WireError

ERRORS: Final = Rule(
    "error-limit",
    "A client may make as many errors as it likes",
    Severity.LOW,
    799,
    "Dictionaries of names and passwords are tried over one connection, at full speed.",
    {
        "Postfix": "smtpd_soft_error_limit = 10\nsmtpd_hard_error_limit = 20\nsmtpd_error_sleep_time = 1s",
        "Dovecot": "# it ends a connection after some invalid commands",
        "Exim": "smtp_max_unknown_commands = 3\nsmtp_max_synprot_errors = 3",
        "sendmail": "define(`confBAD_RCPT_THROTTLE', `3')dnl\ndefine(`confMAX_NOOP_COMMANDS', `20')dnl",
    },
)
SIZE: Final = Rule(
    "size-limit",
    "Messages may be of any size",
    Severity.LOW,
    770,
    "One mail fills the disk.",
    {
        "Postfix": "message_size_limit = 10240000",
        "Exim": "message_size_limit = 50M",
        "sendmail": "define(`confMAX_MESSAGE_SIZE', `52428800')dnl",
        "OpenSMTPD": "smtp max-message-size 35M",
    },
)
CONNECTIONS: Final = Rule(
    "connection-limits",
    "One client may hold as many connections as it likes",
    Severity.LOW,
    770,
    "A single machine takes every place, and nobody else is served.",
    {
        "Postfix": "smtpd_client_connection_count_limit = 20\nsmtpd_client_connection_rate_limit = 60",
        "Dovecot": "# it counts users' connections (mail_max_userip_connections); count strangers' in the firewall:\n"
        "# nft add rule inet filter input tcp dport { 143, 993 } ct count over 20 reject",
        "Exim": "smtp_accept_max_per_host = 10",
        "sendmail": "FEATURE(`conncontrol')dnl\n# access: ClientConn: 10",
        "OpenSMTPD": "smtp limit max-connections 10",
    },
)
RECIPIENTS: Final = Rule(
    "recipient-limit",
    "One mail may have any number of recipients",
    Severity.LOW,
    770,
    "One connection makes thousands of deliveries.",
    {
        "Postfix": "smtpd_recipient_limit = 1000",
        "Exim": "recipients_max = 1000",
        "sendmail": "define(`confMAX_RCPTS_PER_MESSAGE', `1000')dnl",
        "OpenSMTPD": "smtp limit session max-rcpt 1000",
    },
)
RULES: Final = (ERRORS, SIZE, CONNECTIONS, RECIPIENTS)

BAD_COMMANDS: Final = 25
"""Postfix is slower from the tenth on and hangs up after 20, Dovecot and Exim after three."""
SLOWED_SECONDS: Final = 0.8
MANY_RECIPIENTS: Final = 1100
"""RFC 5321 section 4.5.3.1.8 asks for room for 100; Postfix's own limit is 1,000."""
LINE_OCTETS: Final = 1 << 17


async def check(visit: Visit) -> None:
    """Errors and size always; connections and recipients where load is allowed."""
    if visit.target.kind.protocol == "smtp":
        size = visit.facts.get("keywords", {}).get("SIZE", "")
        if not size.isdigit() or int(size[:20]) == 0:
            visit.report(SIZE, f"EHLO announces {'SIZE ' + size if size else 'no SIZE'}")
    await _errors(visit)
    if visit.allows(Allow.LOAD):
        await _line(visit)
        await _connections(visit)
        if visit.recipient and visit.target.kind.protocol == "smtp":
            await _recipients(visit)


async def _errors(visit: Visit) -> None:
    loop = asyncio.get_running_loop()
    evidence, made = Transcript(), 0
    with contextlib.suppress(WireClosed, ConnectionError):
        async with visit.session(KINDS[visit.target.kind.protocol], evidence, tls=False) as client:
            while made < BAD_COMMANDS:
                asked = loop.time()
                answer = str(await client.command("BOGUS"))
                if answer.startswith("421") or loop.time() - asked > SLOWED_SECONDS:
                    break
                made += 1
    visit.note("errors before it slows down or hangs up", made if made < BAD_COMMANDS else f"more than {made}")
    if made == BAD_COMMANDS:
        visit.report(ERRORS, f"{made} commands that are none, and the connection is still there", evidence)


async def _line(visit: Visit) -> None:
    """How a line of 128 KiB is answered: only a fact, as who cuts it and who keeps it look the same from here."""
    async with visit.session(KINDS[visit.target.kind.protocol], Transcript(), tls=False) as client:
        try:
            answer = str(await client.command("NOOP " + "x" * LINE_OCTETS))
        except WireError as error:
            answer = str(error)
    visit.note(f"a line of {LINE_OCTETS} octets", answer)


async def _connections(visit: Visit) -> None:
    wanted = visit.settings.connections
    evidence = Transcript()
    async with contextlib.AsyncExitStack() as stack:
        for count in range(wanted):
            try:
                client: Connection = await visit.connect(KINDS[visit.target.kind.protocol], evidence, patient=False)
            except WireError as error:
                visit.note("connections at once", f"{count}: {error}")
                return
            await stack.enter_async_context(client)
            greeting = str(client.greeting) if isinstance(client, SMTP | IMAP | POP3) else ""
            if not greeting.startswith(("220", "* OK", "+OK")):
                visit.note("connections at once", f"{count}: {greeting}")
                return
    visit.report(CONNECTIONS, f"{wanted} connections at once from one address are all greeted")


async def _recipients(visit: Visit) -> None:
    async with visit.smtp(Transcript()) as smtp:
        await smtp.command(f"MAIL FROM:<{visit.settings.sender}>")
        for count in range(MANY_RECIPIENTS):
            reply = await smtp.command(f"RCPT TO:<{visit.recipient}>")
            if reply.code != 250:
                visit.note("recipients", f"{count}: {reply}")
                return
        await smtp.command("RSET")
    visit.report(RECIPIENTS, f"{MANY_RECIPIENTS} recipients in one transaction are accepted")
