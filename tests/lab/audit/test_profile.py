"""The hardened profile has no findings; on weakened twins each weakness is found, and by its own name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from lab.audit.audit import audit
from lab.audit.finding import Finding, Severity
from lab.audit.report import Report
from lab.audit.settings import Allow, Settings
from lab.audit.target import Target
from lab.behaviours.base import Change
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import Transcript

MAIN, DOVECOT = "mailhost/main.cf", "mailhost/dovecot.conf"
PACE = Change(MAIN, "smtpd_client_connection_rate_limit = 0")
SCHEMES = {
    "smtp": "smtp", "submission": "submission", "submissions": "smtps",
    "imap": "imap", "imaps": "imaps", "pop3": "pop3", "pop3s": "pop3s",
}  # fmt: skip


def settings(lab: Lab, **more: object) -> Settings:
    alice = lab.user("alice")
    chosen = Settings(
        sender="friend@outside.example", victim="victim@far.example", domain=lab.domain, recipient=alice.address,
        sink=alice.address, user=alice.name, password=alice.password, name=lab.name, ca_file=lab.ca_file,
        source=STRANGER, rate=1000,
    )  # fmt: skip
    return dataclasses.replace(chosen, **more)  # type: ignore[arg-type]


async def audited(lab: Lab, *endpoints: str, **more: object) -> Report:
    targets = [Target(SCHEMES[name], *lab.endpoint(f"mailhost.{name}")) for name in endpoints or SCHEMES]
    report = await audit(targets, settings(lab, **more))
    assert not [target.unreachable for target in report.targets if target.unreachable]
    return report


def ids(findings: Iterable[Finding]) -> set[str]:
    return {finding.rule.id for finding in findings}


@pytest.mark.slow
async def test_nothing_is_found_on_the_hardened_profile() -> None:
    async with Lab.start(["mailhost"], [PACE]) as lab:
        report = await audited(lab, allowed=frozenset({Allow.SMUGGLING}))
    assert [f"{f.target} {f.rule.id}: {f.said}" for f in report.at_least(Severity.LOW)] == []
    assert ids(report.findings) == {"rcpt-enumeration", "cipher-cbc"}
    assert [target.undecided for target in report.targets if target.undecided] == []


WEAKENED = (
    Change(
        MAIN, "smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = permit\nsmtpd_sender_restrictions ="
    ),
    Change(MAIN, "disable_vrfy_command = no\nsmtpd_helo_required = no\nsmtpd_tls_auth_only = no"),
    Change(MAIN, "smtpd_tls_protocols = >=TLSv1\nsmtpd_tls_mandatory_protocols = >=TLSv1"),
    Change(MAIN, "smtpd_tls_ciphers = medium\ntls_medium_cipherlist = ALL:COMPLEMENTOFALL:@SECLEVEL=0"),
    Change(MAIN, "smtpd_tls_mandatory_ciphers = medium"),
    Change(MAIN, "hardmail_starttls_injection = yes\nsmtpd_forbid_bare_newline = no\nmessage_size_limit = 0"),
    Change(MAIN, "smtpd_banner = $myhostname ESMTP Postfix 3.7.11\nsmtpd_sasl_security_options ="),
    Change(
        MAIN, "smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_hard_error_limit = 1000\nsmtpd_error_sleep_time = 0"
    ),
    Change(MAIN, "smtpd_client_connection_count_limit = 0\nsmtpd_recipient_limit = 5000"),
    Change(
        DOVECOT, "ssl = yes\ndisable_plaintext_auth = no\nssl_min_protocol = TLSv1\nhardmail_starttls_injection = yes"
    ),
    Change(DOVECOT, "ssl_cipher_list = ALL:COMPLEMENTOFALL:@SECLEVEL=0\nmail_full_filesystem_access = yes"),
    Change(DOVECOT, "auth_mechanisms = plain login cram-md5 anonymous\nauth_failure_delay = 0"),
    Change(DOVECOT, "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}"),
)
FOUND = {
    "smtp": {
        "no-open-relay", "xclient", "no-starttls-injection", "auth-only-over-tls", "no-anonymous", "weak-mechanism",
        "protocol-floor", "cipher-anonymous", "cipher-null", "cipher-cbc", "no-user-enumeration", "helo-checks", "sender-checks",
        "early-talkers", "error-limit", "size-limit", "banner-version", "rcpt-enumeration", "connection-limits",
        "recipient-limit", "no-smuggling", "spam-filter", "virus-filter", "failed-logins",
    },
    "imap": {
        "no-starttls-injection", "no-plaintext-login", "no-anonymous", "weak-mechanism", "protocol-floor",
        "cipher-anonymous", "cipher-null", "cipher-cbc", "failed-logins", "connection-limits", "imap-path-escape",
    },
    "pop3": {
        "no-starttls-injection", "no-plaintext-login", "no-anonymous", "weak-mechanism", "protocol-floor",
        "cipher-anonymous", "cipher-null", "cipher-cbc", "failed-logins", "connection-limits",
    },
}  # fmt: skip


@pytest.mark.slow
async def test_each_weakness_is_found_on_the_weakened_twin() -> None:
    async with Lab.start(["mailhost"], WEAKENED) as lab:
        async with await lab.imap("mailhost.imaps", Transcript(), tls=True) as imap:
            await imap.login("bob", lab.user("bob").password)
            await imap.command("SELECT INBOX")  # makes the Maildir that alice's password must not open
        report = await audited(lab, *FOUND, allowed=frozenset(Allow), paths=(str(lab.maildir("bob")),))
    found = {name: ids(target.findings) for name, target in zip(FOUND, report.targets, strict=True)}
    assert found == FOUND
