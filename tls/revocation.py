"""Certificate revocation lists of the lab's authority (RFC 5280 section 5)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tls.errors import TLSConfigError

_BEGIN = b"-----BEGIN X509 CRL-----"
_LIFE = dt.timedelta(days=30)
"""After that a list has expired, and whoever insists on lists trusts no certificate any more."""


def sign_list(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    old: x509.CertificateRevocationList | None,
    revoked: Iterable[x509.Certificate],
    now: dt.datetime,
) -> x509.CertificateRevocationList:
    """The old list with these certificates added, valid from now on."""
    builder = (
        x509.CertificateRevocationListBuilder().issuer_name(authority.subject).last_update(now).next_update(now + _LIFE)
    )
    serials = {entry.serial_number: entry.revocation_date_utc for entry in old or ()}
    for certificate in revoked:
        serials.setdefault(certificate.serial_number, now)
    for serial, date in serials.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, hashes.SHA256())


def pem_of(authority: x509.Certificate, revocations: x509.CertificateRevocationList) -> bytes:
    """Both in one text, as Dovecot's ssl_ca takes them."""
    return authority.public_bytes(Encoding.PEM) + revocations.public_bytes(Encoding.PEM)


def old_list(file: Path) -> x509.CertificateRevocationList | None:
    """The list in a file that `pem_of` has made; None without one. Raises TLSConfigError for a damaged one."""
    try:
        return x509.load_pem_x509_crl(_BEGIN + file.read_bytes().partition(_BEGIN)[2])
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise TLSConfigError(f"{file}: not a usable revocation list") from error
