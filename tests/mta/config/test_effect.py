"""Parameters without effect: the lists against what the services read, and what `hardmail check` says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from lab.check import check
from mta.config import PARAMETERS, ExpandError, MainConfig, MasterConfig
from mta.config.effect import NEEDLESS, WITHOUT_EFFECT, is_needless, unheeded
from mta.config.expand import references
from mta.queue.service import Service, make_plan
from mta.smtpd.server import Server
from tls.authority import Authority

ROOT = Path(__file__).parents[3]
MAIN = """
compatibility_level = 3.6
queue_directory = {place}
data_directory = {place}
alias_maps =
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtp_sasl_auth_enable = yes
lmtp_sasl_auth_enable = yes
smtp_tls_security_level = encrypt
smtp_tls_protocols = >=TLSv1.2
smtp_tls_mandatory_protocols = >=TLSv1.2
lmtp_tls_protocols = >=TLSv1.2
lmtp_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_security_level = {level}
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_eccert_file = {certificate}
smtpd_tls_eckey_file = {key}
smtpd_tls_dcert_file = {certificate}
smtpd_tls_dkey_file = {key}
canonical_maps = static:x
sender_canonical_maps = static:x
recipient_canonical_maps = static:x
smtpd_milters = inet:127.0.0.1:1
smtpd_proxy_filter = 127.0.0.1:1
smtpd_recipient_restrictions = check_policy_service unix:x, reject_unverified_sender, permit
hardmail_authentication_results = yes
"""
MASTER = """
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
local unix - n n - - local
virtual unix - n n - - virtual
error unix - - n - - error
discard unix - - n - - discard
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
"""
ALL_TABLES = {"proxy_read_maps", "proxy_write_maps"}
"""Their defaults name every table there is."""
QUOTED = re.compile(r"[\"']([A-Za-z0-9_]+)[\"']")


@pytest.fixture
def read(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Parameters that smtpd and the queue manager read when they start with everything switched on."""
    names: set[str] = set()
    original = MainConfig.raw

    def raw(self: MainConfig, name: str) -> str | None:
        names.add(name)
        return original(self, name)

    leaf = Authority.create(tmp_path / "ca").issue_server(["localhost"])
    (tmp_path / "master.cf").write_text(MASTER)
    for level in ("may", "encrypt"):
        (tmp_path / "main.cf").write_text(
            MAIN.format(place=place, certificate=leaf.certificate_file, key=leaf.key_file, level=level)
        )
        config = MainConfig.load(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(MainConfig, "raw", raw)
            Server.from_config(config, cast(Any, None)).under_stress()
            service = Service(make_plan(config))
            service.queue.close()
    return names


def quoted() -> set[str]:
    """Names in the code: what is read only when it is needed."""
    files = [file for room in ("mta", "lab") for file in (ROOT / room).rglob("*.py") if "parameters" not in file.parts]
    return {name for file in files for name in QUOTED.findall(file.read_text())}


def test_what_nothing_reads_is_listed(read: set[str]) -> None:
    used = read | quoted()
    used |= {name for user in used - ALL_TABLES if user in PARAMETERS for name in _references(PARAMETERS[user].default)}
    unread = {name for name in PARAMETERS if name not in used and not is_needless(name)}
    assert unread == WITHOUT_EFFECT


def test_what_is_read_is_not_listed(read: set[str]) -> None:
    assert not read & (WITHOUT_EFFECT | NEEDLESS)
    assert not WITHOUT_EFFECT & NEEDLESS
    assert PARAMETERS.keys() >= WITHOUT_EFFECT | NEEDLESS


def _references(default: str) -> list[str]:
    try:
        return references(default)
    except ExpandError:
        return []


def test_check_tells_of_settings_without_effect(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nbiff = no\nqueue_directory = {tmp_path}/queue\n"
        "smtp_balance_inet_protocols = yes\nsmtp_address_verify_target = data\n"
    )
    text = "smtp inet n - n - - smtpd\n  -o smtpd_proxy_options=speed_adjust\nsmtp unix - - n - - smtp\n"
    (tmp_path / "master.cf").write_text(text)
    config = MainConfig.load(tmp_path)
    told = [
        str(warning).removeprefix(f"{tmp_path}/") for warning in unheeded(config, MasterConfig.load(tmp_path, config))
    ]
    assert told == [
        "main.cf, line 5: smtp_address_verify_target: this parameter has no effect in hardmail",
        "master.cf, line 1: smtpd_proxy_options: this parameter has no effect in hardmail",
    ]
    findings = [str(finding) for finding in check([tmp_path])]
    assert sum("has no effect in hardmail" in finding for finding in findings) == 2
