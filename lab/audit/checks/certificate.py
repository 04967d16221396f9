"""The certificate: whose it is, who says so, until when, and how strong its key and signature are."""

from __future__ import annotations

import datetime as dt
import ssl
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from lab.audit.finding import Rule, Severity
from lab.audit.visit import KINDS, Undecided, Visit
from lab.wire import SMTP, Refused, Transcript
from tls import names
from tls.context import client_context
from tls.policy import ANYTHING, Version
from tls.probe import SUITES, TLS13, Hello

_NEW: Final = {
    "Postfix": "smtpd_tls_chain_files = /etc/postfix/key-and-chain.pem",
    "Dovecot": "ssl_cert = </etc/dovecot/chain.pem\nssl_key = </etc/dovecot/key.pem",
    "Exim": "tls_certificate = /etc/exim4/chain.pem\ntls_privatekey = /etc/exim4/key.pem",
    "sendmail": "define(`confSERVER_CERT', `/etc/mail/chain.pem')dnl\ndefine(`confSERVER_KEY', `/etc/mail/key.pem')dnl",
    "OpenSMTPD": 'pki mail cert "/etc/mail/chain.pem"\npki mail key "/etc/mail/key.pem"',
}


def _rule(name: str, title: str, severity: Severity, cwe: int, why: str) -> Rule:
    return Rule(f"certificate-{name}", title, severity, cwe, why, _NEW)


EXPIRED: Final = _rule(
    "expired", "The certificate is out of date", Severity.HIGH, 298,
    "Clients refuse it, or users learn to press OK, also for the certificate of an attacker.",
)  # fmt: skip
EXPIRES: Final = _rule(
    "expires-soon", "The certificate ends soon", Severity.LOW, 298, "It is renewed now, or mail stops then."
)
MISMATCH: Final = _rule(
    "name-mismatch", "The certificate is for another name", Severity.MEDIUM, 297,
    "A client that compares names cannot tell this server from one that somebody put in its place.",
)  # fmt: skip
NO_NAMES: Final = _rule(
    "common-name", "The certificate has its name in the wrong place", Severity.LOW, 297,
    "Clients look at the subject alternative names alone (RFC 9525 section 6.3): to them this certificate has no name.",
)  # fmt: skip
UNTRUSTED: Final = _rule(
    "untrusted", "No trusted authority vouches for the certificate", Severity.MEDIUM, 295,
    "Anybody can make such a certificate, so that it proves nothing: who sits on the way shows one of their own.",
)  # fmt: skip
WEAK_KEY: Final = _rule(
    "weak-key", "The key is too short", Severity.HIGH, 326, "RSA keys below 2048 bits can be computed."
)
WEAK_SIGNATURE: Final = _rule(
    "weak-signature", "The certificate is signed with a broken digest", Severity.HIGH, 328,
    "With MD5 or SHA-1 another certificate with the same signature can be made.",
)  # fmt: skip
RULES: Final = (EXPIRED, EXPIRES, MISMATCH, NO_NAMES, UNTRUSTED, WEAK_KEY, WEAK_SIGNATURE)

SOON: Final = dt.timedelta(days=14)
SAFE_RSA_BITS, SAFE_EC_BITS = 2048, 224
BROKEN: Final = ("md2", "md4", "md5", "sha1")


async def check(visit: Visit) -> None:
    """The certificates of every key type, then whether this machine trusts what it is shown."""
    if not visit.has_tls:
        return
    now = dt.datetime.now(dt.UTC)
    shown = await _certificates(visit)
    for certificate in shown:
        _dates(visit, certificate, now)
        _strength(visit, certificate)
        _names(visit, certificate)
    await _trust(visit, shown[0])


async def _certificates(visit: Visit) -> list[x509.Certificate]:
    """The server's own: one for RSA, one for ECDSA, where it has both. Raises Undecided."""
    found: dict[bytes, x509.Certificate] = {}
    for kind in ("_RSA_", "_ECDSA_"):
        suites = [n for n, name in SUITES.items() if kind in name and n not in TLS13 and "_NULL_" not in name]
        answer = await visit.shakes(Hello(Version.TLSv1_2, suites, visit.server_name))
        for der in answer.certificates[:1]:
            found[der] = _parsed(der)
    if not found:  # TLS 1.3 alone: there the certificate is encrypted
        der = await _shown_inside(visit)
        found[der] = _parsed(der)
    return list(found.values())


async def _shown_inside(visit: Visit) -> bytes:
    async with visit.session(KINDS[visit.target.kind.protocol], Transcript(), tls=True) as client:
        der = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if not der:
        raise Undecided("the server has no certificate")
    return bytes(der)


def _parsed(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise Undecided(f"a certificate that cannot be read: {error}") from None


def _about(certificate: x509.Certificate) -> str:
    return names.common_name(certificate.subject) or ", ".join(names.dns_names(certificate)) or "without a name"


def _dates(visit: Visit, certificate: x509.Certificate, now: dt.datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    visit.note("certificate until", f"{end:%Y-%m-%d}")
    if end < now:
        visit.report(EXPIRED, f"{_about(certificate)}: it ended on {end:%Y-%m-%d}")
    elif start > now:
        visit.report(EXPIRED, f"{_about(certificate)}: it begins on {start:%Y-%m-%d}")
    elif end - now < SOON:
        visit.report(EXPIRES, f"{_about(certificate)}: it ends on {end:%Y-%m-%d}")


def _strength(visit: Visit, certificate: x509.Certificate) -> None:
    try:
        key = certificate.public_key()
    except ValueError:
        return
    kind, bits = type(key).__name__.strip("_").removesuffix("PublicKey"), getattr(key, "key_size", 0)
    visit.note("certificate key", f"{kind} {bits}".strip())
    if (isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and bits < SAFE_RSA_BITS) or (
        isinstance(key, ec.EllipticCurvePublicKey) and bits < SAFE_EC_BITS
    ):
        visit.report(WEAK_KEY, f"{_about(certificate)}: {kind} with {bits} bits")
    digest = certificate.signature_hash_algorithm
    if digest is not None and digest.name in BROKEN:
        visit.report(WEAK_SIGNATURE, f"{_about(certificate)}: signed with {digest.name}")


def _names(visit: Visit, certificate: x509.Certificate) -> None:
    """The name that was asked for; of a server known by its address alone, also the one that it says it has."""
    proved, addresses = names.dns_names(certificate), _addresses(certificate)
    if not addresses and not _has_names(certificate):
        visit.report(NO_NAMES, f"{_about(certificate)}: no subject alternative name")
    visit.note("certificate names", proved)
    wanted = [visit.server_name] if visit.server_name else [visit.hostname] if visit.hostname else []
    if visit.target.literal in addresses or (wanted and names.matches(certificate, wanted)):
        return
    asked = wanted[0] if wanted else visit.target.host
    if not wanted and visit.target.literal:  # nothing is known that the certificate could be compared with
        visit.note("certificate name", f"not compared: {visit.target.host} is no name (--name)")
        return
    visit.report(MISMATCH, f"asked for {asked}, shown one for {', '.join(proved) or 'nobody'}")


def _addresses(certificate: x509.Certificate) -> list[object]:
    alternative = _alternative(certificate)
    return list(alternative.get_values_for_type(x509.IPAddress)) if alternative else []


def _has_names(certificate: x509.Certificate) -> bool:
    alternative = _alternative(certificate)
    return alternative is not None and bool(alternative.get_values_for_type(x509.DNSName))


def _alternative(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


async def _trust(visit: Visit, certificate: x509.Certificate) -> None:
    """OpenSSL's own judgement, with the system's authorities or those of --ca-file."""
    ca_file = visit.settings.ca_file
    context = client_context(ANYTHING, ca_file, verify="chain", system_authorities=ca_file is None)
    fault = await _verdict(visit, context)
    visit.note("certificate trusted", fault is None)
    if fault and "expired" not in fault and "not yet valid" not in fault:
        visit.report(UNTRUSTED, f"{_about(certificate)}: {fault}")


async def _verdict(visit: Visit, context: ssl.SSLContext) -> str | None:
    """What is wrong with the chain in OpenSSL's words; None if nothing is. Raises WireError, Undecided."""
    try:
        client = await visit.connect(KINDS[visit.target.kind.protocol], Transcript(), context)
        async with client:
            if not client.tls:
                if isinstance(client, SMTP):
                    await client.ehlo(visit.helo(client))
                await visit.secure(client, context)
    except Refused as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return error.__cause__.verify_message
        raise Undecided(f"the chain cannot be judged: {error}") from None
    return None
