"""STARTTLS: offered, required where users log in, and deaf to what was said before it."""

from __future__ import annotations

from typing import Final

from lab.audit.finding import Rule, Severity
from lab.audit.visit import Visit, lax
from lab.behaviours.no_starttls_injection import injected
from lab.wire import IMAP, POP3, SMTP, Connection, Transcript

MISSING: Final = Rule(
    "starttls-missing",
    "The server has no TLS",
    Severity.HIGH,
    319,
    "Everything that is sent can be read and changed on the way.",
    {
        "Postfix": "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = ...\nsmtpd_tls_key_file = ...",
        "Dovecot": "ssl = required\nssl_cert = <...\nssl_key = <...",
        "Exim": "tls_advertise_hosts = *\ntls_certificate = ...\ntls_privatekey = ...",
        "sendmail": "define(`confSERVER_CERT', `...')dnl\ndefine(`confSERVER_KEY', `...')dnl",
        "OpenSMTPD": 'pki mail cert "..."\npki mail key "..."\nlisten on ... tls pki mail',
    },
)
OPTIONAL: Final = Rule(
    "starttls-optional",
    "TLS can be stripped: the server serves mail users without it",
    Severity.MEDIUM,
    757,
    "Who sits on the way takes STARTTLS out of the server's answer, and client and server go on in the clear.",
    {
        "Postfix": "submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt",
        "Dovecot": "ssl = required",
        "Exim": "acl_check_mail:\n  deny condition = ${if eq{$tls_in_cipher}{}}\n       message = TLS first",
        "sendmail": "DAEMON_OPTIONS(`Name=MSA, Port=587, M=Ea')dnl\n# access: TLS_Clt: ENCR:128",
        "OpenSMTPD": "listen on ... port 587 tls-require auth",
    },
)
INJECTION: Final = Rule(
    "no-starttls-injection",
    "What was sent in the clear behind STARTTLS is carried out inside TLS",
    Severity.HIGH,
    349,
    "Who sits on the way puts commands of their own before the user's protected ones: mail is sent, or the log-in "
    "taken, in the user's name (CVE-2011-0411, CVE-2021-38371).",
    {
        "Postfix": "# update to 2.8.12 or newer",
        "Dovecot": "# update to 2.3.14.1 or newer (CVE-2021-33515)",
        "Exim": "# update to 4.94.2 or newer (CVE-2021-38371)",
        "sendmail": "# update to 8.15.2 or newer",
    },
)
RULES: Final = (MISSING, OPTIONAL, INJECTION)


async def check(visit: Visit) -> None:
    """Only for ports that begin in the clear."""
    if visit.target.kind.implicit_tls:
        return
    if not visit.starttls:
        severity = None if visit.target.kind.for_users else Severity.MEDIUM
        visit.report(MISSING, "STARTTLS is not offered", severity=severity)
    elif visit.target.kind.protocol == "smtp":
        await _required(visit)
    if visit.starttls:
        await _injection(visit)


async def _required(visit: Visit) -> None:
    """Mail exchangers must serve the whole world (RFC 3207 section 4); a submission server need not."""
    evidence = Transcript()
    async with visit.smtp(evidence, tls=False) as smtp:
        reply = await smtp.command(f"MAIL FROM:<{visit.settings.sender}>")
        if reply.code == 250:
            await smtp.command("RSET")
    visit.tls_required = reply.code == 530
    visit.note("tls required", visit.tls_required)
    if reply.code == 250 and visit.target.kind.for_users:
        visit.report(OPTIONAL, f"MAIL is taken without TLS: {reply}", evidence)


async def _injection(visit: Visit) -> None:
    evidence = Transcript()
    kinds: dict[str, tuple[type[SMTP | IMAP | POP3], bytes, bytes, bytes, str]] = {
        # kind, how TLS is started, the command behind it, the question inside TLS, how the answer to the command begins
        "smtp": (SMTP, b"STARTTLS", b"NOOP", b"BOGUS", "250"),
        "imap": (IMAP, b"t1 STARTTLS", b"evil NOOP", b"good NOOP", "evil"),
        "pop3": (POP3, b"STLS", b"CAPA", b"BOGUS", "+OK"),
    }
    kind, start, attack, question, betrayal = kinds[visit.target.kind.protocol]
    client: Connection = await visit.connect(kind, evidence)
    async with client:
        if isinstance(client, SMTP):
            await client.ehlo(visit.helo(client))
        agreed, answer = await injected(client, start, attack, question, lax(), visit.server_name)
    if answer is not None and answer.startswith(betrayal):
        visit.report(INJECTION, f"{attack.decode()} behind STARTTLS is answered inside TLS: {answer}", evidence)
    elif answer is None and not client.tls and agreed.startswith(("220", "t1 OK", "+OK")):
        visit.note("command behind STARTTLS", "ends the connection")
    elif answer is None and not client.tls:
        visit.note("command behind STARTTLS", agreed)
