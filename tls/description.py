"""What a finished handshake agreed upon, in the words of Postfix's log and of its Received header (Postfix 3.7)."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from tls import fingerprint, names
from tls.bio import BIOConnection
from tls.verification import Verification

_CURVES = {"secp256r1": "prime256v1"}
"""OpenSSL's names where they differ from cryptography's and from the group's."""
_DIGEST_OF_CURVE = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""TLS 1.3 ties the digest to the curve of an ECDSA key (RFC 8446 section 4.2.3)."""
_MONTGOMERY = {"x25519": "X25519", "x448": "X448"}


@dataclass(frozen=True)
class Session:
    """One TLS session. Texts are "" and `peer_certificate` is None where nothing is to tell, or none can know."""

    protocol: str
    """`TLSv1.3`"""
    cipher: str
    used_bits: int
    algorithm_bits: int
    key_exchange: str = ""
    """`X25519`, `ECDHE (prime256v1)`; TLS 1.3 only, as before it the cipher's name tells."""
    server_signature: str = ""
    """`ECDSA (prime256v1)`, `RSA-PSS (2048 bits)`; TLS 1.3 only."""
    server_digest: str = ""
    client_signature: str = ""
    client_digest: str = ""
    resumed: bool = False
    peer_certificate: bytes | None = None
    """DER."""
    verified: bool = False
    """The peer's certificate is signed by an authority that the context trusts."""
    verification_error: str = ""
    """Why it is not, in OpenSSL's words."""

    def summary(self) -> str:
        """What Postfix logs behind `TLS connection established from ...:`, in one line."""
        return " ".join([self._cipher_text(), *self._exchange_lines()])

    def received(self, certificate_requested: bool = False) -> list[str]:
        """
        The lines of the Received header (smtpd_tls_received_header), without the tab that begins each.

        `certificate_requested`: smtpd_tls_ask_ccert or smtpd_tls_req_ccert.
        """
        lines = [f"(using {self._cipher_text()}", *(f" {line}" for line in self._exchange_lines())]
        lines[-1] += ")"
        return [*lines, self._certificate_text(certificate_requested)]

    @property
    def trust(self) -> str:
        """`Anonymous`, `Untrusted` or `Trusted`, as Postfix begins its log line."""
        if self.peer_certificate is None:
            return "Anonymous"
        return "Trusted" if self.verified else "Untrusted"

    @property
    def peer_name(self) -> str:
        """Common name of the peer's certificate."""
        return names.common_name(self._certificate.subject) if self._certificate else ""

    @property
    def issuer_name(self) -> str:
        """Common name, else organisation, of the one who signed it."""
        if self._certificate is None:
            return ""
        issuer = self._certificate.issuer
        organisations = issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return names.common_name(issuer) or (str(organisations[0].value) if organisations else "")

    def certificate_fingerprint(self, digest: str = "sha256") -> str:
        """Of the peer's certificate, "" without one."""
        return fingerprint.certificate_fingerprint(self.peer_certificate, digest) if self.peer_certificate else ""

    def public_key_fingerprint(self, digest: str = "sha256") -> str:
        """Of the peer's public key, "" without a certificate."""
        return fingerprint.public_key_fingerprint(self.peer_certificate, digest) if self.peer_certificate else ""

    @functools.cached_property
    def _certificate(self) -> x509.Certificate | None:
        return _parse(self.peer_certificate)

    def _cipher_text(self) -> str:
        return f"{self.protocol} with cipher {self.cipher} ({self.used_bits}/{self.algorithm_bits} bits)"

    def _exchange_lines(self) -> list[str]:
        first = [
            ("key-exchange", self.key_exchange),
            ("server-signature", self.server_signature),
            ("server-digest", self.server_digest),
        ]
        second = [("client-signature", self.client_signature), ("client-digest", self.client_digest)]
        lines = (" ".join(f"{word} {value}" for word, value in pairs if value) for pairs in (first, second))
        return [line for line in lines if line]

    def _certificate_text(self, requested: bool) -> str:
        if self.peer_certificate is None:
            return "(Client did not present a certificate)" if requested else "(No client certificate requested)"
        verdict = "verified OK" if self.verified else "not verified"
        return f'(Client CN "{_quotable(self.peer_name)}", Issuer "{_quotable(self.issuer_name)}" ({verdict}))'


def describe(session: ssl.SSLObject | ssl.SSLSocket | BIOConnection | SSL.Connection) -> Session:
    """The session behind a transport's `ssl_object` (asyncio) or `getHandle()` (Twisted), after its handshake."""
    if isinstance(session, BIOConnection):
        return _describe_openssl(session.connection)
    if isinstance(session, SSL.Connection):
        return _describe_openssl(session)
    return _describe_python(session)


def _describe_python(session: ssl.SSLObject | ssl.SSLSocket) -> Session:
    """Python's ssl tells neither the group nor, to a server, its own certificate."""
    cipher, _, bits = session.cipher() or ("(NONE)", "", 0)
    peer = session.getpeercert(binary_form=True)
    protocol = session.version() or "unknown"
    resumed = bool(session.session_reused)
    signs = protocol == "TLSv1.3" and not resumed
    signature, digest = _signature(_parse(peer)) if signs else ("", "")
    server, client = ((signature, digest), ("", "")) if not session.server_side else (("", ""), (signature, digest))
    return Session(
        protocol, cipher, bits, _algorithm_bits(cipher, bits), "", *server, *client, resumed, peer,
        verified=peer is not None and session.context.verify_mode != ssl.CERT_NONE,
    )  # fmt: skip


def _describe_openssl(connection: SSL.Connection) -> Session:
    cipher, bits = connection.get_cipher_name() or "(NONE)", connection.get_cipher_bits() or 0
    protocol = connection.get_protocol_version_name()
    certificate = connection.get_peer_certificate(as_cryptography=True)
    peer = certificate.public_bytes(Encoding.DER) if certificate else None
    found = Verification.of(connection)
    key_exchange, server, client = "", ("", ""), ("", "")
    if protocol == "TLSv1.3":
        key_exchange = _group(connection.get_group_name() or "")
        server, client = _signature(connection.get_certificate(as_cryptography=True)), _signature(certificate)
    return Session(
        protocol, cipher, bits, _algorithm_bits(cipher, bits), key_exchange, *server, *client, False, peer,
        verified=peer is not None and found is not None and found.trusted,
        verification_error=found.error if found else "",
    )  # fmt: skip


def _group(name: str) -> str:
    lowered = name.lower()
    if lowered in _MONTGOMERY:
        return _MONTGOMERY[lowered]
    if lowered.startswith("ffdhe"):
        return f"DHE ({lowered.removeprefix('ffdhe')} bits)"
    if lowered in _DIGEST_OF_CURVE or lowered.startswith(("prime", "brainpool")):
        return f"ECDHE ({_CURVES.get(lowered, lowered)})"
    return name


def _signature(certificate: x509.Certificate | None) -> tuple[str, str]:
    """How TLS 1.3 signs with the certificate's key: algorithm and digest. The digest of RSA is the peers' choice."""
    key = certificate.public_key() if certificate else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve = key.curve.name
        return f"ECDSA ({_CURVES.get(curve, curve)})", _DIGEST_OF_CURVE.get(curve, "")
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-PSS ({key.key_size} bits)", ""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ED25519", ""
    return ("ED448", "") if isinstance(key, ed448.Ed448PublicKey) else ("", "")


def _parse(der: bytes | None) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(der) if der else None
    except ValueError:
        return None


def _quotable(name: str) -> str:
    """A name from a stranger's certificate, fit for a header: no quote, no line end, no control character."""
    return "".join(character if character.isprintable() and character not in '"\\' else "?" for character in name)


@functools.cache
def _bits_by_cipher() -> dict[str, int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {cipher["name"]: cipher["alg_bits"] for cipher in context.get_ciphers()}


def _algorithm_bits(cipher: str, used: int) -> int:
    return _bits_by_cipher().get(cipher, used)
