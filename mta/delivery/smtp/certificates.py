"""Whether the certificate that a server shows is the one that a TLS policy asks for."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cryptography import x509

from tls import fingerprint, names


def known(certificate: bytes, listed: Sequence[str], digest: str) -> bool:
    """Whether a certificate (DER) or its key has one of these fingerprints (smtp_tls_fingerprint_cert_match)."""
    return fingerprint.matches(certificate, listed, digest)


def vouches(certificate: bytes, patterns: Sequence[str]) -> bool:
    """Whether a certificate (DER) is the peer's.

    As OpenSSL judges for Postfix: an address among the patterns must stand among the certificate's addresses, and of
    the names, if there are any, one among its names. So `[192.0.2.1]` passes `verify`, but not `secure`, whose
    dot-nexthop is no address.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
    except ValueError:
        return False
    addresses = [address for pattern in patterns if (address := _address(pattern)) is not None]
    hosts = [pattern for pattern in patterns if _address(pattern) is None]
    if addresses and not _vouched_addresses(parsed).issuperset(addresses):
        return False
    return bool(addresses) if not hosts else names.matches(parsed, hosts)


def _vouched_addresses(certificate: x509.Certificate) -> set[object]:
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    return set(alternative.get_values_for_type(x509.IPAddress))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
