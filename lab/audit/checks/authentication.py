"""How users log in: never with a readable password in the clear, never without a name."""

from __future__ import annotations

import secrets
from typing import Final

from lab.audit.finding import Rule, Severity
from lab.audit.visit import Visit
from lab.wire import SMTP, Transcript

PLAIN_AUTH: Final = Rule(
    "auth-only-over-tls",
    "SMTP passwords can be sent in the clear",
    Severity.HIGH,
    523,
    "Who listens on the way reads the password, and who sits on the way can ask for it.",
    {
        "Exim": "auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}",
        "sendmail": "define(`confAUTH_OPTIONS', `p,y')dnl",
        "OpenSMTPD": "listen on ... tls-require auth",
    },
)
PLAIN_LOGIN: Final = Rule(
    "no-plaintext-login",
    "IMAP and POP3 passwords can be sent in the clear",
    Severity.HIGH,
    523,
    "Who listens on the way reads the password, and with it all mail.",
)
ANONYMOUS: Final = Rule(
    "no-anonymous",
    "Users without a name can log in",
    Severity.HIGH,
    287,
    "ANONYMOUS is a log-in that everybody has; where users may relay, everybody may.",
    {
        "Dovecot": "auth_mechanisms = plain login",
        "Exim": "# remove the authenticator with public_name = ANONYMOUS",
        "sendmail": "TRUST_AUTH_MECH(`PLAIN LOGIN')dnl",
    },
)
WEAK: Final = Rule(
    "weak-mechanism",
    "A mechanism is offered whose exchange gives the password to a patient listener",
    Severity.LOW,
    327,
    "The answers of CRAM-MD5, DIGEST-MD5, NTLM and APOP can be guessed offline at billions of passwords a second, and "
    "the server has to keep the password in a form that is as good as the password.",
    {
        "Postfix": "smtpd_sasl_mechanism_filter = plain, login, scram-sha-256",
        "Dovecot": "auth_mechanisms = plain login scram-sha-256",
        "Exim": "# remove the authenticators cram_md5 and ntlm",
        "sendmail": "define(`confAUTH_MECHANISMS', `PLAIN LOGIN SCRAM-SHA-256')dnl",
    },
)
RULES: Final = (PLAIN_AUTH, PLAIN_LOGIN, ANONYMOUS, WEAK)

WEAK_MECHANISMS: Final = frozenset({"CRAM-MD5", "DIGEST-MD5", "NTLM", "APOP"})
PASSWORD_MECHANISMS: Final = frozenset({"PLAIN", "LOGIN"})
TRACE: Final = "aGFyZG1haWwgYXVkaXQ="
"""What ANONYMOUS asks for: something to trace the visitor by (RFC 4505)."""


async def check(visit: Visit) -> None:
    """In the clear, then inside TLS."""
    ways = [] if visit.target.kind.implicit_tls else [False]
    if visit.has_tls:
        ways.append(True)
    look = {"smtp": _smtp, "imap": _imap, "pop3": _pop3}[visit.target.kind.protocol]
    offered: set[str] = set()
    for tls in ways:
        mechanisms = await look(visit, tls)
        visit.note(f"mechanisms {'inside TLS' if tls else 'in the clear'}", mechanisms)
        offered |= mechanisms
    if weak := sorted(offered & WEAK_MECHANISMS):
        visit.report(WEAK, f"{', '.join(weak)} offered")


async def _smtp(visit: Visit, tls: bool) -> set[str]:
    evidence = Transcript()
    async with visit.smtp(evidence, tls=tls) as smtp:
        visit.be_patient(smtp)
        announced = " ".join(v for k, v in smtp.keywords.items() if k in ("AUTH", "AUTH=LOGIN", "AUTH=PLAIN"))
        mechanisms = {word.upper() for word in announced.split()}
        reply = await smtp.command("AUTH PLAIN")
        if reply.code == 334:
            reply = await smtp.command("*")
            mechanisms.add("PLAIN")
        if not tls and mechanisms & PASSWORD_MECHANISMS:
            visit.report(PLAIN_AUTH, f"AUTH {' '.join(sorted(mechanisms))} without TLS", evidence)
        await _anonymous_smtp(visit, smtp, mechanisms, evidence)
    return mechanisms


async def _anonymous_smtp(visit: Visit, smtp: SMTP, mechanisms: set[str], evidence: Transcript) -> None:
    reply = await smtp.command(f"AUTH ANONYMOUS {TRACE}")
    if reply.code == 235:
        visit.report(ANONYMOUS, f"ANONYMOUS logs in: {reply}", evidence)
    elif "ANONYMOUS" in mechanisms:
        visit.report(ANONYMOUS, f"ANONYMOUS is announced, though not accepted: {reply}", evidence, Severity.LOW)


async def _imap(visit: Visit, tls: bool) -> set[str]:
    evidence = Transcript()
    async with visit.imap(evidence, tls=tls) as imap:
        visit.be_patient(imap)
        capabilities = await imap.capabilities()
        mechanisms = {word.removeprefix("AUTH=") for word in capabilities if word.startswith("AUTH=")}
        if not tls:
            open_door = sorted(mechanisms & PASSWORD_MECHANISMS)
            if open_door:
                visit.report(PLAIN_LOGIN, f"AUTHENTICATE {' '.join(open_door)} without TLS", evidence)
            elif "LOGINDISABLED" not in capabilities:
                # Nobody has this name; a server that refuses for want of TLS says so before it looks.
                response = await imap.login(_nobody(), _nobody())
                if response.status == "NO" and response.code in ("AUTHENTICATIONFAILED", None):
                    visit.report(PLAIN_LOGIN, f"LOGIN is tried without TLS: {response}", evidence)
        if "ANONYMOUS" in mechanisms:
            await _anonymous_imap(visit, tls)
    return mechanisms


async def _anonymous_imap(visit: Visit, tls: bool) -> None:
    evidence = Transcript()
    async with visit.imap(evidence, tls=tls) as imap:
        await imap.send("x1 AUTHENTICATE ANONYMOUS")
        line = await imap.read_line()
        if line.startswith("+"):
            await imap.send(TRACE)
            response = await imap.response("x1")
            if response.status == "OK":
                visit.report(ANONYMOUS, f"ANONYMOUS logs in: {response}", evidence)
                return
            line = str(response)
        said = f"ANONYMOUS is announced, though not accepted: {line}"
        visit.report(ANONYMOUS, said, evidence, Severity.LOW)


async def _pop3(visit: Visit, tls: bool) -> set[str]:
    evidence = Transcript()
    async with visit.pop3(evidence, tls=tls) as pop3:
        _, lines = await pop3.multiline("CAPA")
        words = [line.decode("utf-8", "surrogateescape").upper().split() for line in lines]
        mechanisms = {mechanism for word in words if word[:1] == ["SASL"] for mechanism in word[1:]}
        if "<" in pop3.greeting and pop3.greeting.rstrip().endswith(">"):
            mechanisms.add("APOP")
        if not tls:
            status = await pop3.command(f"USER {_nobody()}")
            plain = sorted(mechanisms & PASSWORD_MECHANISMS)
            if status.startswith("+OK") or plain:
                names = " ".join(plain or ["USER"])
                visit.report(PLAIN_LOGIN, f"{names} without TLS: {status}", evidence)
        if "ANONYMOUS" in mechanisms:
            status = await pop3.command(f"AUTH ANONYMOUS {TRACE}")
            if status.startswith("+OK"):
                visit.report(ANONYMOUS, f"ANONYMOUS logs in: {status}", evidence)
            else:
                said = f"ANONYMOUS is announced, though not accepted: {status}"
                visit.report(ANONYMOUS, said, evidence, Severity.LOW)
    return mechanisms


def _nobody() -> str:
    """A name that no user has."""
    return f"hardmail-audit-{secrets.token_hex(6)}"
