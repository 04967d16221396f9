"""Fingerprints, compared with those that OpenSSL prints."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tls import fingerprint
from tls.authority import Authority, Credentials
from tls.errors import TLSConfigError


def der(credentials: Credentials) -> bytes:
    return credentials.certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha256", "sha512"])
def test_certificate_fingerprint_as_openssl_prints_it(alice: Credentials, digest: str) -> None:
    command = ["openssl", "x509", "-noout", "-fingerprint", f"-{digest}", "-in", str(alice.certificate_file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert fingerprint.certificate_fingerprint(der(alice), digest) == printed.strip().partition("=")[2]


def test_public_key_fingerprint_as_openssl_makes_it(alice: Credentials) -> None:
    command = ["openssl", "pkey", "-in", str(alice.key_file), "-pubout", "-outform", "DER"]
    key = subprocess.run(command, capture_output=True, check=True).stdout
    expected = hashlib.sha256(key).digest().hex(":").upper()
    assert fingerprint.public_key_fingerprint(der(alice)) == expected


def test_either_fingerprint_matches_in_any_case(alice: Credentials, server: Credentials) -> None:
    certificate = fingerprint.certificate_fingerprint(der(alice))
    key = fingerprint.public_key_fingerprint(der(alice))
    assert fingerprint.matches(der(alice), [certificate.lower()])
    assert fingerprint.matches(der(alice), ["00:11", f" {key} "])
    assert not fingerprint.matches(der(server), [certificate, key])
    assert not fingerprint.matches(der(alice), [])
    assert not fingerprint.matches(der(alice), [""])
    assert not fingerprint.matches(der(alice), [certificate], "sha1")


def test_the_public_key_survives_renewal(authority: Authority) -> None:
    before = authority.issue_client("pinned@example.org")
    after = authority.renew(before, within_days=1000)
    assert fingerprint.public_key_fingerprint(der(before)) == fingerprint.public_key_fingerprint(der(after))
    assert fingerprint.certificate_fingerprint(der(before)) != fingerprint.certificate_fingerprint(der(after))


def test_unknown_digest() -> None:
    with pytest.raises(TLSConfigError, match="crc32"):
        fingerprint.certificate_fingerprint(b"", "crc32")
