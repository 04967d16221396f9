"""What became of the peer's certificate on a connection that is kept even if the certificate is not trusted."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from OpenSSL import SSL
from OpenSSL.crypto import X509

_ERRORS = {
    3: "unable to get certificate CRL",
    7: "certificate signature failure",
    8: "CRL signature failure",
    9: "certificate is not yet valid",
    10: "certificate has expired",
    11: "CRL is not yet valid",
    12: "CRL has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate",
    21: "unable to verify the first certificate",
    22: "certificate chain too long",
    23: "certificate revoked",
    24: "invalid CA certificate",
    26: "unsuitable certificate purpose",
    28: "certificate rejected",
}
"""The X509_V_ERR_* numbers that a peer's certificate can cause (openssl-verification-options(1))."""


@dataclass
class Verification:
    """The account of one connection; a resumed session has none, as its certificate was not looked at again."""

    error: str = ""
    """The first fault of the chain, in OpenSSL's words."""
    complete: bool = False
    """The chain was followed down to the peer's own certificate."""

    @property
    def trusted(self) -> bool:
        return self.complete and not self.error

    @classmethod
    def attach(cls, connection: SSL.Connection) -> None:
        """Begin to keep account on a new connection."""
        _accounts[connection] = cls()

    @classmethod
    def of(cls, connection: SSL.Connection) -> Verification | None:
        """The account of a connection, None if it was made elsewhere."""
        return _accounts.get(connection)


_accounts: WeakKeyDictionary[SSL.Connection, Verification] = WeakKeyDictionary()
"""Of living connections; what OpenSSL keeps for an application with each of them, Twisted takes for itself."""


def note_and_accept(connection: SSL.Connection, certificate: X509, error: int, depth: int, verified: int) -> bool:
    """Verify callback: any certificate may be shown; what it is worth is decided later (smtpd_tls_ask_ccert)."""
    found = Verification.of(connection)
    if found is not None:
        found.complete |= depth == 0
        if not verified and not found.error:
            found.error = _ERRORS.get(error, f"verification error {error}")
    return True


def note_and_judge(connection: SSL.Connection, certificate: X509, error: int, depth: int, verified: int) -> bool:
    """Verify callback: a certificate that cannot be trusted ends the handshake."""
    note_and_accept(connection, certificate, error, depth, verified)
    return bool(verified)
