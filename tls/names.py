"""Subject alternative names: what a certificate may be issued for, and which certificate answers to which name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from tls.errors import TLSConfigError

_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_DNS_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_MAIL_ADDRESS = re.compile(rf"[!-?A-~]+@{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LONGEST_DNS_NAME = 253
"""RFC 1035 section 2.3.4, without the trailing dot."""
_LONGEST_COMMON_NAME = 64
"""RFC 5280 appendix A, ub-common-name."""


def server_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """DNS names (one leading `*.` allowed) and IP addresses as general names; raises TLSConfigError."""
    if not names:
        raise TLSConfigError("a server certificate needs at least one name")
    return [_address(name) or _dns_name(name) for name in names]


def client_names(name: str) -> list[x509.GeneralName]:
    """The general name of a client: its mail address or its host name; any other text stands in the subject only."""
    if _MAIL_ADDRESS.fullmatch(name):
        return [x509.RFC822Name(name)]
    return [_dns_name(name)] if "." in name and _DNS_NAME.fullmatch(name) else []


def subject(name: str) -> x509.Name:
    """A subject with `name` as its common name, empty where it is too long for one."""
    if not 0 < len(name) <= _LONGEST_COMMON_NAME:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def common_name(name: x509.Name) -> str:
    """The most specific common name, "" if there is none."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    value = found[-1].value if found else ""
    return value if isinstance(value, str) else ""


def dns_names(certificate: x509.Certificate) -> list[str]:
    """
    The names that the certificate vouches for as a mail server, lower case, wildcards as they stand.

    As Postfix: the DNS subject alternative names, and only where there is none of them the common name.
    """
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = alternative.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        names = []
    return [name.lower() for name in names or [common_name(certificate.subject)] if name]


def matches(certificate: x509.Certificate, patterns: Iterable[str]) -> bool:
    """
    Whether one of the certificate's names matches one of `patterns`, by the rules of smtp_tls_secure_cert_match.

    `example.org` matches that name; `.example.org` any name below it, at any depth. A certificate's `*.example.org`
    stands for exactly one label.
    """
    names = dns_names(certificate)
    return any(_name_matches(name, pattern.lower().rstrip(".")) for pattern in patterns for name in names)


def _name_matches(name: str, pattern: str) -> bool:
    if pattern.startswith("."):
        return name.endswith(pattern) and len(name) > len(pattern)
    if name.startswith("*."):
        host, dot, parent = pattern.partition(".")
        return bool(host and dot) and name[2:] == parent and "." in parent
    return bool(pattern) and name == pattern


def _address(name: str) -> x509.IPAddress | None:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return None


def _dns_name(name: str) -> x509.DNSName:
    if len(name) > _LONGEST_DNS_NAME or not _DNS_NAME.fullmatch(name):
        raise TLSConfigError(f"neither a DNS name (A-labels) nor an IP address: {name!r}")
    return x509.DNSName(name)


_SUBJECT_FIELDS = {
    "commonName": NameOID.COMMON_NAME,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "uid": NameOID.USER_ID,
    "userId": NameOID.USER_ID,
    "x500UniqueIdentifier": NameOID.X500_UNIQUE_IDENTIFIER,
}
"""Fields that may name a user, as OpenSSL writes them (Dovecot's ssl_cert_username_field)."""


def subject_field(name: x509.Name, field: str) -> str:
    """The first value of a field of a subject, "" where it has none or the field is not known."""
    oid = _SUBJECT_FIELDS.get(field)
    found = name.get_attributes_for_oid(oid) if oid is not None else []
    return str(found[0].value) if found else ""
