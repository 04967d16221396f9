"""Postfix's and Dovecot's protocol and cipher settings as policies."""

from __future__ import annotations

import ssl
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tls.errors import TLSConfigError
from tls.policy import POSTFIX_GRADES, Policy, Version

V10, V11, V12, V13 = Version.TLSv1, Version.TLSv1_1, Version.TLSv1_2, Version.TLSv1_3


@pytest.mark.parametrize(
    ("protocols", "versions"),
    [
        (None, {V12, V13}),
        ("", {V12, V13}),
        (">=TLSv1", {V10, V11, V12, V13}),
        (">=TLSv1.2, <=TLSv1.3", {V12, V13}),
        (">=TLSv1.2,<=TLSv1.2", {V12}),
        (">=tlsv1.1", {V11, V12, V13}),
        (">=TLSv1.3", {V13}),
        ("<=TLSv1.2", {V12}),
        (">=0x0303", {V12, V13}),
        (">=301 <=0302", {V10, V11}),
        (">=TLSv1.2, <=0305", {V12, V13}),
        ("!SSLv2,!SSLv3", {V12, V13}),
        ("!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", {V12, V13}),
        ("!TLSv1.3", {V12}),
        ("TLSv1", {V10}),
        ("TLSv1, TLSv1.2", {V10, V12}),
        ("TLSv1:TLSv1.1:TLSv1.2", {V10, V11, V12}),
        (">=TLSv1 !TLSv1.1", {V10, V12, V13}),
        (">=SSLv3", {V10, V11, V12, V13}),
    ],
)
def test_postfix_protocols(protocols: str | None, versions: set[Version]) -> None:
    assert Policy.from_postfix(protocols).versions == versions


@pytest.mark.parametrize(
    "protocols", ["TLSv2", ">=TLSv9", "SSLv2", ">=", "!", "!x", ">=0x9999", "SSLv3", "!TLSv1.2 !TLSv1.3", ">= TLSv1.2"]
)
def test_postfix_protocols_that_cannot_be(protocols: str) -> None:
    with pytest.raises(TLSConfigError):
        Policy.from_postfix(protocols)


@given(st.text(alphabet="TLSv123.!<>=0x, :\n", max_size=30))
def test_only_the_typed_error_escapes(text: str) -> None:
    try:
        policy = Policy.from_postfix(text)
    except TLSConfigError:
        return
    assert policy.versions <= {V10, V11, V12, V13}


@pytest.mark.parametrize(
    ("name", "minimum"),
    [
        ("TLSv1.2", V12),
        ("TLSv1", V10),
        ("TLSv1.1", V11),
        ("TLSv1.3", V13),
        ("ANY", V10),
        ("LATEST", V13),
        ("SSLv3", V10),
    ],
)
def test_dovecot_minimum(name: str, minimum: Version) -> None:
    assert Policy.from_dovecot(name).minimum == minimum


def test_dovecot_unknown_protocol() -> None:
    with pytest.raises(TLSConfigError, match="ssl_min_protocol"):
        Policy.from_dovecot("TLSv7")


def test_holes_between_versions() -> None:
    assert Policy.from_postfix("TLSv1, TLSv1.2").holes == {V11}
    assert not Policy().holes


def test_excluded_ciphers() -> None:
    policy = Policy.from_postfix(ciphers="high", exclude_ciphers="aNULL, MD5 kEDH+aRSA")
    assert policy.ciphers == POSTFIX_GRADES["high"] + ":!aNULL:!MD5:!kEDH+aRSA"


@pytest.mark.parametrize("exclude", ["@SECLEVEL=0", "!aNULL", "a;b", "-ALL*"])
def test_excluded_ciphers_cannot_rewrite_the_list(exclude: str) -> None:
    with pytest.raises(TLSConfigError):
        Policy.from_postfix(exclude_ciphers=exclude)


def test_unknown_grade() -> None:
    with pytest.raises(TLSConfigError, match="grade"):
        Policy.from_postfix(ciphers="strong")


def test_own_grades() -> None:
    assert Policy.from_postfix(ciphers="medium", grades={"medium": "AES128-SHA"}).ciphers == "AES128-SHA"


def test_old_versions_get_the_security_level_that_they_need() -> None:
    assert Policy.from_postfix(">=TLSv1").openssl_ciphers.endswith(":@SECLEVEL=0")
    assert "SECLEVEL" not in Policy.from_postfix(">=TLSv1.2").openssl_ciphers
    own = Policy.from_postfix(">=TLSv1", grades={"medium": "HIGH:@SECLEVEL=1"})
    assert own.openssl_ciphers == "HIGH:@SECLEVEL=1"


@pytest.mark.interop
@pytest.mark.needs("postconf", "postfix")
@pytest.mark.parametrize("grade", POSTFIX_GRADES)
def test_grades_are_those_of_postfix(grade: str) -> None:
    name = f"tls_{grade}_cipherlist"
    real = subprocess.run(["postconf", "-d", "-h", name], capture_output=True, text=True, check=True)
    assert real.stdout.strip() == POSTFIX_GRADES[grade]


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ("", 0),
        ("NO_TICKET", ssl.OP_NO_TICKET),
        ("no_compression, NO_RENEGOTIATION", ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION),
        ("0x4000 NO_TICKET", 0x4000),
    ],
)
def test_postfix_options(options: str, bits: int) -> None:
    assert Policy.from_postfix(options=options).options == bits


@pytest.mark.parametrize("options", ["NO_SUCH", "0x", "0x123456789", "-1"])
def test_postfix_options_that_cannot_be(options: str) -> None:
    with pytest.raises(TLSConfigError):
        Policy.from_postfix(options=options)
