"""TLS contexts as Twisted takes them; apart from the others, so that nobody else has to import Twisted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer  # type: ignore[import-untyped]

from tls.binding import note_order
from tls.context import openssl_server_context
from tls.pem import PEM
from tls.policy import Policy
from tls.verification import Verification

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol


@implementer(IOpenSSLServerConnectionCreator)
class TwistedServerOptions:
    """What Twisted's startTLS, TLSMemoryBIOFactory and listenSSL take as their context factory."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context
        context.set_info_callback(note_order)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A fresh connection over memory buffers (IOpenSSLServerConnectionCreator)."""
        connection = SSL.Connection(self._context, None)
        Verification.attach(connection)
        return connection


def twisted_server_options(
    certificate_file: PEM, key_file: PEM, policy: Policy, **settings: Any
) -> TwistedServerOptions:
    """`settings` as for context.openssl_server_context. Raises TLSConfigError."""
    return TwistedServerOptions(openssl_server_context(certificate_file, key_file, policy, **settings))
