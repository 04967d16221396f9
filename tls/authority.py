"""The lab's certificate authority: one self-signed root that issues server and client certificates (RFC 5280)."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tls import files, names, revocation
from tls.errors import TLSConfigError

_AUTHORITY_DAYS = 3650
_LEAF_DAYS = 397
"""The longest life that browsers and mail clients accept of a server certificate (CA/Browser Forum, 2020)."""
_CLOCK_SKEW = dt.timedelta(hours=1)
"""A certificate is valid a little before its making, for peers whose clock is behind."""
_CERTIFICATE, _KEY, _REVOKED = "ca.pem", "ca.key", "ca-crl.pem"
_SERVER, _CLIENT = "server", "client"
_LARGEST_PEM = 1 << 20


class AuthorityExistsError(TLSConfigError):
    """The directory already holds an authority; making another would orphan its certificates."""


@dataclass(frozen=True)
class Credentials:
    """A certificate and the key that belongs to it, as files (PEM; the key PKCS #8, mode 0600)."""

    certificate_file: Path
    key_file: Path
    certificate: x509.Certificate

    @property
    def not_after(self) -> dt.datetime:
        """End of validity, UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def names(self) -> list[str]:
        """DNS names, addresses and mail addresses it is valid for."""
        try:
            alternative = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [str(name.value) for name in alternative]

    @property
    def is_server(self) -> bool:
        """False for a client certificate."""
        usage = self.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        return ExtendedKeyUsageOID.SERVER_AUTH in usage

    def days_left(self, now: dt.datetime | None = None) -> float:
        """Days until the end of validity, negative after it."""
        return (self.not_after - (now or _now())) / dt.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A root certificate with its key. Every method that writes holds a lock on the directory."""

    directory: Path
    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, directory: Path | str, name: str = "hardmail lab CA", days: int = _AUTHORITY_DAYS) -> Authority:
        """A new root in `directory` (made, mode 0700). Raises AuthorityExistsError, OSError."""
        directory = Path(directory)
        files.make_private_directory(directory)
        with _locked(directory):
            if (directory / _CERTIFICATE).exists():
                raise AuthorityExistsError(f"{directory}: there is already an authority; load it or remove it")
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _sign_root(key, names.subject(name), days)
            _write_key(directory / _KEY, key)
            _write_certificate(directory / _CERTIFICATE, certificate)
        return cls(directory, certificate, key)

    @classmethod
    def load(cls, directory: Path | str) -> Authority:
        """The authority that `create` made. Raises TLSConfigError if it is absent, unusable or not an authority."""
        directory = Path(directory)
        certificate, key = _read_pair(directory / _CERTIFICATE, directory / _KEY)
        try:
            is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, ValueError):
            is_authority = False
        if not is_authority:
            raise TLSConfigError(f"{directory / _CERTIFICATE}: not the certificate of an authority")
        return cls(directory, certificate, key)

    @classmethod
    def load_or_create(cls, directory: Path | str, name: str = "hardmail lab CA") -> Authority:
        """For a lab that starts again: the same authority every time, whoever comes first."""
        try:
            return cls.create(directory, name)
        except AuthorityExistsError:
            return cls.load(directory)

    @property
    def certificate_file(self) -> Path:
        """What clients need in order to trust the certificates."""
        return self.directory / _CERTIFICATE

    def issue_server(self, server_names: Sequence[str], days: float = _LEAF_DAYS) -> Credentials:
        """A new key and certificate for DNS names and IP addresses. Raises TLSConfigError for a malformed name."""
        general = names.server_names(server_names)
        return self._issue(_SERVER, server_names[0], general, days)

    def issue_client(self, name: str, days: float = _LEAF_DAYS) -> Credentials:
        """A new key and certificate for a person's mail address, a host name, or any word (the common name)."""
        if not 0 < len(name) <= 64 or not name.isprintable():
            raise TLSConfigError(f"a client's name has 1 to 64 printable characters: {name!r}")
        return self._issue(_CLIENT, name, names.client_names(name), days)

    def renew(
        self,
        credentials: Credentials,
        within_days: float = 30,
        days: float = _LEAF_DAYS,
        now: dt.datetime | None = None,
    ) -> Credentials:
        """
        The same names and key with a new life, if less than `within_days` are left; else `credentials` as they are.

        The key stays, so that one file is replaced and no reader can meet a certificate without its key; public key
        fingerprints stay valid too.
        """
        if credentials.days_left(now) >= within_days:
            return credentials
        with _locked(self.directory):
            old, key = _read_pair(credentials.certificate_file, credentials.key_file)
            kind = _SERVER if credentials.is_server else _CLIENT
            certificate = self._sign_leaf(kind, key.public_key(), old.subject, _alternative_names(old), days, now)
            _write_certificate(credentials.certificate_file, certificate)
        return Credentials(credentials.certificate_file, credentials.key_file, certificate)

    def renew_root(self, within_days: float = 365, now: dt.datetime | None = None) -> Authority:
        """A longer life for the root itself, same name and key: certificates that it issued stay valid."""
        left = (self.certificate.not_valid_after_utc - (now or _now())) / dt.timedelta(days=1)
        if left >= within_days:
            return self
        with _locked(self.directory):
            certificate = _sign_root(self._key, self.certificate.subject, _AUTHORITY_DAYS, now)
            _write_certificate(self.certificate_file, certificate)
        return Authority(self.directory, certificate, self._key)

    def revoke(self, *certificates: x509.Certificate, now: dt.datetime | None = None) -> Path:
        """The file with the authority and its revocation list, made anew with these certificates in the list too.

        Raises TLSConfigError for a certificate of somebody else.
        """
        path = self.directory / _REVOKED
        for certificate in certificates:
            if certificate.issuer != self.certificate.subject:
                raise TLSConfigError(f"{certificate.subject.rfc4514_string()}: not issued by this authority")
        with _locked(self.directory):
            old = revocation.old_list(path)
            made = revocation.sign_list(self.certificate, self._key, old, certificates, now or _now())
            files.write_atomically(path, revocation.pem_of(self.certificate, made), files.CERTIFICATE_MODE)
        return path

    def issued(self) -> list[Credentials]:
        """Everything issued into the directory, in the order of file names. Raises TLSConfigError."""
        found = []
        for kind in (_SERVER, _CLIENT):
            for path in sorted(self.directory.glob(f"{kind}-*.pem")):
                key_file = path.with_suffix(".key")
                found.append(Credentials(path, key_file, _read_pair(path, key_file)[0]))
        return found

    def _issue(self, kind: str, name: str, general: Sequence[x509.GeneralName], days: float) -> Credentials:
        stem = f"{kind}-{_file_name(name)}"
        certificate_file, key_file = self.directory / f"{stem}.pem", self.directory / f"{stem}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign_leaf(kind, key.public_key(), names.subject(name), general, days)
        with _locked(self.directory):
            _write_key(key_file, key)
            _write_certificate(certificate_file, certificate)
        return Credentials(certificate_file, key_file, certificate)

    def _sign_leaf(
        self,
        kind: str,
        public_key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        general: Sequence[x509.GeneralName],
        days: float,
        now: dt.datetime | None = None,
    ) -> x509.Certificate:
        now = now or _now()
        end = min(now + dt.timedelta(days=days), self.certificate.not_valid_after_utc)
        own_identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if kind == _SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(subject, self.certificate.subject, public_key, now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_identifier), False)
        )
        if general:
            # RFC 5280 section 4.2.1.6: critical where it is the only name.
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=not list(subject))
        return builder.sign(self._key, hashes.SHA256())


def make_snakeoil(directory: Path, server_names: Sequence[str], days: int = _AUTHORITY_DAYS) -> Credentials:
    """A certificate that is signed by itself, as ssl-cert of Debian makes one: encryption without proof of identity.

    Raises TLSConfigError for a malformed name, OSError.
    """
    general, subject = names.server_names(server_names), names.subject(server_names[0])
    key, now = ec.generate_private_key(ec.SECP256R1()), _now()
    certificate = (
        _builder(subject, subject, key.public_key(), now, now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .sign(key, hashes.SHA256())
    )
    stem = f"snakeoil-{_file_name(server_names[0])}"
    certificate_file, key_file = directory / f"{stem}.pem", directory / f"{stem}.key"
    _write_key(key_file, key)
    _write_certificate(certificate_file, certificate)
    return Credentials(certificate_file, key_file, certificate)


def _sign_root(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, days: int, now: dt.datetime | None = None
) -> x509.Certificate:
    now = now or _now()
    return (
        _builder(subject, subject, key.public_key(), now, now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, start: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _read_pair(certificate_file: Path, key_file: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path = certificate_file
    try:
        certificate = x509.load_pem_x509_certificate(_read(certificate_file))
        path = key_file
        key = serialization.load_pem_private_key(_read(key_file), password=None)
    except OSError as error:
        raise TLSConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise TLSConfigError(f"{path}: not a usable PEM file") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise TLSConfigError(f"{key_file}: not the key of {certificate_file}")
    return certificate, key


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_PEM)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.write_atomically(path, pem, files.KEY_MODE)


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    files.write_atomically(path, certificate.public_bytes(serialization.Encoding.PEM), files.CERTIFICATE_MODE)


def _file_name(name: str) -> str:
    """A name that cannot leave the directory: `*.example.org` becomes `_.example.org`, `::1` becomes `__1`."""
    return re.sub(r"[^A-Za-z0-9@._-]", "_", name)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
