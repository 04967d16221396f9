"""Fingerprints of certificates and public keys, as Postfix prints and compares them: `AB:CD:...`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tls.errors import TLSConfigError

DIGESTS = frozenset({"md5", "sha1", "sha224", "sha256", "sha384", "sha512"})
"""What smtpd_tls_fingerprint_digest and smtp_tls_fingerprint_digest accept here."""


def certificate_fingerprint(der: bytes, digest: str = "sha256") -> str:
    """Of the whole certificate: `openssl x509 -fingerprint`. Raises TLSConfigError for an unknown digest."""
    return _colons(_digest(der, digest))


def public_key_fingerprint(der: bytes, digest: str = "sha256") -> str:
    """
    Of the certificate's SubjectPublicKeyInfo, which survives renewal (TLS_README, Postfix 2.9 and later).

    Raises TLSConfigError for an unknown digest, ValueError for bytes that are no certificate.
    """
    key = x509.load_der_x509_certificate(der).public_key()
    return _colons(_digest(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), digest))


def matches(der: bytes, wanted: Iterable[str], digest: str = "sha256") -> bool:
    """Whether the certificate's or its key's fingerprint is one of `wanted` (case does not count)."""
    own = [certificate_fingerprint(der, digest).encode(), public_key_fingerprint(der, digest).encode()]
    listed = [fingerprint.strip().upper().encode() for fingerprint in wanted]
    return any(hmac.compare_digest(mine, theirs) for mine in own for theirs in listed)


def _digest(data: bytes, digest: str) -> bytes:
    if digest.lower() not in DIGESTS:
        raise TLSConfigError(f"unknown fingerprint digest {digest!r}: one of {', '.join(sorted(DIGESTS))}")
    # Not a choice of ours: md5 and sha1 are what older main.cf files list their clients by.
    return hashlib.new(digest.lower(), data, usedforsecurity=False).digest()


def _colons(digest: bytes) -> str:
    return digest.hex(":").upper()
