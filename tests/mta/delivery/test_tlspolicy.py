"""smtp_tls_security_level, smtp_tls_policy_maps and smtp_tls_per_site: what a destination must have."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config import MainConfig
from mta.delivery.smtp.tlspolicy import Level, PolicyError, PolicyTable, server_name
from mta.delivery.smtp.tlssettings import TlsDefaults

from .conftest import Table


async def found(table: PolicyTable, nexthop: str = "example.org", host: str = "mail.example.org"):
    return await table.find(nexthop, host)


@pytest.mark.parametrize(
    ("defaults", "level"),
    [
        (TlsDefaults(), Level.NONE),
        (TlsDefaults(use_tls=True), Level.MAY),
        (TlsDefaults(enforce_tls=True), Level.VERIFY),
        (TlsDefaults(enforce_tls=True, enforce_peername=False), Level.ENCRYPT),
        (TlsDefaults(level="may", enforce_tls=True), Level.MAY),
        (TlsDefaults(level="secure"), Level.SECURE),
    ],
)
async def test_global_level(defaults: TlsDefaults, level: Level) -> None:
    assert (await found(PolicyTable(defaults))).level is level


async def test_stronger_levels_use_the_mandatory_parameters() -> None:
    defaults = TlsDefaults(
        protocols=">=TLSv1",
        mandatory_protocols=">=TLSv1.2",
        ciphers="medium",
        mandatory_ciphers="high",
        exclude="aNULL",
        mandatory_exclude="RC4",
        level="may",
    )
    table = PolicyTable(defaults, Table({"strict.example": "encrypt"}))
    may, encrypt = await found(table), await found(table, "strict.example")
    assert (may.protocols, may.ciphers, may.exclude) == (">=TLSv1", "medium", "aNULL")
    assert (encrypt.protocols, encrypt.ciphers, encrypt.exclude) == (">=TLSv1.2", "high", "aNULL RC4")


@pytest.mark.parametrize(
    ("nexthop", "level"),
    [
        ("example.org", Level.ENCRYPT),
        ("EXAMPLE.org", Level.ENCRYPT),
        ("a.b.example.net", Level.VERIFY),
        ("example.net", Level.MAY),
        ("[mail.example.org]:587", Level.SECURE),
        ("[mail.example.org]", Level.MAY),
        ("example.org:26", Level.MAY),
    ],
)
async def test_keys_of_the_policy_table(nexthop: str, level: Level) -> None:
    policies = Table({"example.org": "encrypt", ".example.net": "verify", "[mail.example.org]:587": "secure"})
    assert (await found(PolicyTable(TlsDefaults(level="may"), policies), nexthop)).level is level


async def test_attributes() -> None:
    entry = "secure match=nexthop:.example.org protocols=TLSv1.2:TLSv1.3 ciphers=high exclude=RC4:3DES servername=x"
    policy = await found(PolicyTable(TlsDefaults(), Table({"example.org": entry})))
    assert policy.match == ("nexthop", ".example.org")
    assert (policy.protocols, policy.ciphers, policy.exclude) == ("TLSv1.2,TLSv1.3", "high", "RC4 3DES")
    assert policy.patterns("mx", "example.org") == ["example.org", ".example.org"]
    assert server_name(policy, "mx", "example.org") == "x"


async def test_fingerprints() -> None:
    policy = await found(PolicyTable(TlsDefaults(), Table({"example.org": "fingerprint match=AA:BB|CC:DD"})))
    assert policy.match == ("AA:BB", "CC:DD")


@pytest.mark.parametrize(
    "entry", ["", "dane-only", "strong", "encrypt match", "verify match=", "encrypt colour=blue", "secure tafile=/x"]
)
async def test_an_entry_that_cannot_be_kept_stops_the_mail(entry: str) -> None:
    with pytest.raises(PolicyError):
        await found(PolicyTable(TlsDefaults(level="may"), Table({"example.org": entry})))


@pytest.mark.parametrize(
    ("sites", "level"),
    [
        ({}, Level.MAY),
        ({"mail.example.org": "MUST"}, Level.VERIFY),
        ({"example.org": "must_nopeermatch"}, Level.ENCRYPT),
        ({"example.org": "NONE"}, Level.NONE),
        ({"example.org": "NONE", "mail.example.org": "MUST"}, Level.VERIFY),
    ],
)
async def test_the_obsolete_per_site_table(sites: dict[str, str], level: Level) -> None:
    table = PolicyTable(TlsDefaults(level="may"), None, Table(sites))
    assert (await found(table)).level is level


async def test_wrapper_mode_wants_encryption() -> None:
    with pytest.raises(PolicyError):
        await found(PolicyTable(TlsDefaults(level="may", wrappermode=True)))


def test_parameters_are_read(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        "smtp_tls_security_level = secure\nsmtp_tls_CAfile = /ca.pem\nsmtp_tls_cert_file = /c.pem\n"
        "lmtp_tls_security_level = none\nsmtp_tls_mandatory_protocols = >=TLSv1.3\nsmtp_tls_loglevel = 1\n"
    )
    config = MainConfig.load(tmp_path)
    defaults = TlsDefaults.from_config(config, "smtp")
    assert (defaults.level, defaults.ca_file, defaults.certificate_file, defaults.key_file, defaults.loglevel) == (
        "secure",
        "/ca.pem",
        "/c.pem",
        "/c.pem",
        1,
    )
    assert (defaults.protocols, defaults.mandatory_protocols) == (None, ">=TLSv1.3")
    assert TlsDefaults.from_config(config, "lmtp").level == "none"


async def test_a_missing_certificate_is_told_early_and_stops_the_mail(tmp_path: Path, caplog) -> None:
    table = PolicyTable(TlsDefaults(level="encrypt", ca_file=str(tmp_path / "none.pem")))
    table.preload()
    assert "none.pem" in caplog.text
    with pytest.raises(PolicyError):
        table.context(await found(table))


@given(st.text(max_size=40))
def test_only_the_typed_error_escapes(entry: str) -> None:
    table = PolicyTable(TlsDefaults())
    with contextlib.suppress(PolicyError):
        table._parse(entry, "example.org")
