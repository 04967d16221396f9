"""The audit of real Postfix and Dovecot: what Debian's default leaves open is found, hardened nothing, as by nmap."""

from __future__ import annotations

from typing import Any

import pytest

from lab.audit.target import Target
from tests import peers
from tests.interop.audited.compare import audited, running, suites
from tests.interop.audited.scanners import nmap

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.needs_root, pytest.mark.needs("ip", "iproute2")]

DEFAULT = {
    "smtp": {
        "protocol-floor", "certificate-untrusted", "no-user-enumeration", "cipher-anonymous", "cipher-static", "dh-size",
        "helo-checks", "sender-checks", "early-talkers",
    },
    "imap": {"certificate-untrusted"},
    "imaps": {"certificate-untrusted"},
    "pop3": {"certificate-untrusted"},
    "pop3s": {"certificate-untrusted"},
}  # fmt: skip


def faults(audit: dict[str, Any]) -> set[str]:
    """What is worse than an observation."""
    return {finding["id"] for finding in audit["findings"] if finding["severity"] != "info"}


def by_scheme(said: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    assert not [entry["undecided"] for entry in said.values() if entry["undecided"] or entry["unreachable"]]
    return {target.partition(":")[0]: entry for target, entry in said.items()}


def test_the_default_configuration_is_found_to_be_what_it_is() -> None:
    peers.find("nmap", "nmap")
    with running("postfix-dovecot", "default") as (side, mailer):
        said = by_scheme(audited(side, mailer, rate=100))
        seen = nmap(side, Target.parse(mailer.targets[0]))
    assert {scheme: faults(entry) for scheme, entry in said.items()} == DEFAULT
    # nmap takes the `252` of Postfix's VRFY for a no, and knows nothing of trust, HELO and senders.
    ids = {finding["id"] for finding in said["smtp"]["findings"]}
    assert seen.found == ids & seen.scope - {"no-user-enumeration"}
    assert seen.suites == suites(said["smtp"])


def test_the_hardened_configuration_has_no_findings() -> None:
    with running("postfix-dovecot", "hardened") as (side, mailer):
        said = by_scheme(audited(side, mailer, rate=100))
    assert {scheme: faults(entry) for scheme, entry in said.items()} == {scheme: set() for scheme in said}
    assert set(said) == {"smtp", "submission", "smtps", "imap", "imaps", "pop3", "pop3s"}
