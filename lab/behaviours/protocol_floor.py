"""protocol-floor: TLS 1.1 and older are refused in the handshake."""

from __future__ import annotations

import ssl

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Refused, Transcript, WireClosed
from tls.context import client_context
from tls.policy import Policy, Version


def only(version: Version) -> ssl.SSLContext:
    """A client that speaks this version alone, with every cipher, and does not look at the certificate."""
    return client_context(Policy(frozenset({version}), "ALL:@SECLEVEL=0"), verify="none")


async def accepts(lab: Lab, version: Version, evidence: Transcript) -> list[str]:
    """Which doors of the mail host complete a handshake of that version."""
    doors = []
    for endpoint, kind in (("mailhost.smtp", lab.smtp), ("mailhost.imap", lab.imap), ("mailhost.pop3", lab.pop3)):
        async with await kind(endpoint, evidence) as client:
            if endpoint == "mailhost.smtp":
                await client.command("EHLO probe.example")
            try:
                await client.starttls(only(version))
            except (Refused, WireClosed):
                continue
            doors.append(endpoint)
    return doors


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Offer TLS 1.0, then 1.1, then 1.2 to SMTP, IMAP and POP3."""
    for version in (Version.TLSv1, Version.TLSv1_1):
        if doors := await accepts(lab, version, evidence):
            return exposed(f"{version.label} is accepted by {', '.join(doors)}")
    doors = await accepts(lab, Version.TLSv1_2, evidence)
    if len(doors) != 3:
        raise ProbeFailed(f"TLS 1.2 is accepted only by {doors}")
    return hardened("TLS 1.0 and 1.1 refused by SMTP, IMAP and POP3; TLS 1.2 accepted")


BEHAVIOUR = Behaviour(
    slug="protocol-floor",
    title="Old TLS and all SSL versions are switched off",
    source="P Mailserver absichern (SSLv2 und SSLv3 deaktivieren)",
    why="SSL 2 and 3 and TLS 1.0 and 1.1 have known attacks (DROWN, POODLE, BEAST), and a server that still "
    "speaks them lets an attacker choose them.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_tls_protocols = >=TLSv1.2"),
        Change("mailhost/dovecot.conf", "ssl_min_protocol = TLSv1.2"),
    ),
    expectation="the handshake is refused below TLS 1.2",
    probe=probe,
    twin=Twin(
        (
            Change("mailhost/main.cf", "smtpd_tls_protocols = >=TLSv1"),
            Change("mailhost/dovecot.conf", "ssl_min_protocol = TLSv1"),
        ),
        "a TLS 1.0 handshake completes",
    ),
)
