"""What a server says before anybody has asked: its name, its version, and what it offers to strangers."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from lab.audit.finding import Rule, Severity
from lab.audit.visit import Undecided, Visit
from lab.wire import IMAP, POP3, SMTP, Transcript

BANNER: Final = Rule(
    "banner-version",
    "The greeting names the version of the software",
    Severity.LOW,
    200,
    "Whoever looks for servers with a known hole need not try: the version is told to everybody.",
    {
        "Postfix": "smtpd_banner = $myhostname ESMTP",
        "Dovecot": "login_greeting = ready",
        "Exim": 'smtp_banner = "$primary_hostname ESMTP"',
        "sendmail": "define(`confSMTP_LOGIN_MSG', `$j')dnl",
        "OpenSMTPD": "# its greeting has no version",
    },
)
XCLIENT: Final = Rule(
    "xclient",
    "Strangers may say that they are somebody else (XCLIENT)",
    Severity.HIGH,
    290,
    "With XCLIENT a client names the address, host name and log-in that the server shall take it for: it relays, "
    "and passes every blocklist.",
    {"Postfix": "smtpd_authorized_xclient_hosts ="},
)
PREAUTH: Final = Rule(
    "preauth",
    "The server takes strangers for users that have logged in (PREAUTH)",
    Severity.CRITICAL,
    306,
    "Mail can be read without a password; in the clear it also keeps clients from starting TLS (CVE-2021-33515).",
    {"Dovecot": "# imap must be reached through imap-login; remove the inet_listener from `service imap`"},
)
RULES: Final = (BANNER, XCLIENT, PREAUTH)

VERSION: Final = re.compile(r"v?[0-9]+\.[0-9]+(?:\.[0-9]+)*(?:[-_/~+][\w.:~+/-]+)?", re.ASCII)
PRODUCTS: Final = ("Postfix", "Exim", "OpenSMTPD", "Sendmail", "Dovecot", "Courier", "Cyrus", "qmail", "hardmail")
HOSTNAME: Final = re.compile(
    r"(?=.{4,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*\.[A-Za-z][A-Za-z0-9-]*", re.ASCII
)


async def check(visit: Visit) -> None:
    """The first contact: it also learns what the other checks need to know."""
    evidence = Transcript()
    if visit.target.kind.protocol == "smtp":
        text = await _smtp(visit, evidence)
    elif visit.target.kind.protocol == "imap":
        text = await _imap(visit, evidence)
    else:
        text = await _pop3(visit, evidence)
    visit.note("greeting", text)
    product = next((name for name in PRODUCTS if name.lower() in text.lower()), "")
    visit.note("product", product)
    if found := version_in(text, visit.hostname):
        visit.report(BANNER, f"{product or 'the server'} tells its version {found}: {text}", evidence)


def version_in(text: str, hostname: str) -> str:
    """The version that a greeting names, "" if none: numbers of names and addresses are no versions."""
    words = (word for word in text.split() if word != hostname and not HOSTNAME.fullmatch(word.strip("[]()<>,;")))
    found = (VERSION.fullmatch(word.strip("[]()<>,;")) for word in words)
    return next((match.group() for match in found if match and not is_address(match.group())), "")


def is_address(text: str) -> bool:
    """Whether this is an address and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def _smtp(visit: Visit, evidence: Transcript) -> str:
    client = await visit.connect(SMTP, evidence)
    async with client:
        if client.greeting.code != 220:
            raise Undecided(f"the server does not want to talk: {client.greeting}")
        reply = await client.command(f"EHLO {visit.helo(client)}")
        words = [line.split() for line in reply.lines[1:] if line.strip()] if reply.code == 250 else []
        keywords = {word[0].upper(): " ".join(word[1:]) for word in words}
        visit.starttls = "STARTTLS" in keywords and not client.tls
        visit.note("keywords", keywords)
        if "XCLIENT" in keywords:
            visit.report(XCLIENT, f"EHLO announces XCLIENT {keywords['XCLIENT']}", evidence)
        text = client.greeting.text
        names = [line.split()[0] for line in (reply.lines[0], text) if line.strip()]
    visit.hostname = next((name for name in names if HOSTNAME.fullmatch(name)), "")
    visit.note("hostname", visit.hostname)
    return text


async def _imap(visit: Visit, evidence: Transcript) -> str:
    client = await visit.connect(IMAP, evidence)
    async with client:
        greeting = client.greeting
        if greeting.upper().startswith("* BYE") or not greeting.startswith("* "):
            raise Undecided(f"the server does not want to talk: {greeting}")
        if greeting.upper().startswith("* PREAUTH"):
            visit.report(PREAUTH, greeting, evidence)
        capabilities = await client.capabilities()
        visit.starttls = "STARTTLS" in capabilities and not client.tls
        visit.note("capabilities", capabilities)
    return re.sub(r"\[CAPABILITY [^\]]*\] *", "", greeting.removeprefix("* "))


async def _pop3(visit: Visit, evidence: Transcript) -> str:
    client = await visit.connect(POP3, evidence)
    async with client:
        if not client.greeting.startswith("+OK"):
            raise Undecided(f"the server does not want to talk: {client.greeting}")
        _, lines = await client.multiline("CAPA")
        words = [line.decode("utf-8", "surrogateescape").split() for line in lines if line.strip()]
        capabilities = {word[0].upper(): " ".join(word[1:]) for word in words}
        visit.starttls = "STLS" in capabilities and not client.tls
        visit.note("capabilities", capabilities)
    return " ".join(filter(None, [client.greeting, capabilities.get("IMPLEMENTATION", "")]))
