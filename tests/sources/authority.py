"""The authority that LPI 322.2 names in sendmail's access table, a server and a client of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Berlin"),
        x509.NameAttribute(NameOID.LOCALITY_NAME, "Berlin"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "immer-linux.ok"),
        x509.NameAttribute(NameOID.COMMON_NAME, "immer-linux.ok CA"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "postmaster@example.org"),
    ]
)


def immer_linux(directory: Path) -> tuple[Path, Path]:
    """Write CAcert.pem, MYcert.pem and MYkey.pem there; certificate and key of a client."""
    own = ec.generate_private_key(ec.SECP256R1())
    authority = _signed(NAME, own, own, authority=True)
    (directory / "CAcert.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    _pair(directory / "MYcert.pem", directory / "MYkey.pem", "mail.lab.example", own)
    client = directory.parent / "branch.pem", directory.parent / "branch.key"
    _pair(*client, "branch.immer-linux.ok", own)
    return client


def _pair(certificate: Path, key: Path, name: str, issuer: ec.EllipticCurvePrivateKey) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate.write_bytes(_signed(subject, own, issuer, authority=False).public_bytes(Encoding.PEM))
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)


def _signed(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(issuer, hashes.SHA256())
    )
