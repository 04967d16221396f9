"""The STARTTLS gate for Twisted line protocols: no byte that came in the clear is read as if it had come under TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Shape
from typing import cast

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    ITLSTransport,
)
from twisted.internet.protocol import Protocol
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from tls.errors import TLSHandshakeError

Discard = Callable[[], int]
"""Empties everything that the protocol has received and not yet acted upon, and returns the number of bytes."""


class _TLSTransport(Shape):
    """ITLSTransport with twisted.internet.interfaces.ITCPTransport's abortConnection, as types."""

    def write(self, data: bytes) -> None: ...
    def startTLS(self, contextFactory: object) -> None: ...
    def abortConnection(self) -> None: ...


def upgrade_server(
    protocol: Protocol,
    options: IOpenSSLServerConnectionCreator,
    *,
    go_ahead: bytes,
    discard: Discard | None = None,
    keep_plaintext: bool = False,
) -> int:
    """
    Drop what the client sent behind its STARTTLS or STLS, write `go_ahead`, start TLS; returns the bytes dropped.

    Call it from the handler of the command; everything happens before the reactor runs again, so nothing can slip in.
    A LineReceiver is emptied here; a protocol with buffers or queues of its own passes `discard`, and must not keep
    input in a local variable while a handler runs, as LineOnlyReceiver does (and with it twisted.mail.pop3.POP3).
    twisted.mail.imap4.IMAP4Server calls its handlers through tables such as `unauth_STARTTLS` that hold the original
    functions: override the table, not only `do_STARTTLS`.

    The handshake goes on afterwards. It has succeeded when `protocol` gets data (or handshakeCompleted, if it
    implements IHandshakeListener); when it fails, connectionLost brings the reason, see `handshake_error`.
    `keep_plaintext` leaves the gate open: the weakened twin, nothing else. Raises TypeError for a protocol that
    cannot be emptied. Source: RFC 3207 section 4.2, RFC 3501 section 6.2.1, RFC 2595 section 4.
    """
    transport = _tls_transport(protocol)
    empty = discard or _line_buffer_of(protocol)
    dropped = 0 if keep_plaintext else empty()
    transport.write(go_ahead)
    transport.startTLS(options)
    return dropped


def upgrade_client(
    protocol: Protocol, options: IOpenSSLClientConnectionCreator, *, discard: Discard | None = None
) -> None:
    """
    Start TLS after the server's go-ahead line was received; refuse the connection if anything follows that line.

    A server has nothing to say before the handshake, so it is an injection. Call it from the handler of the reply.
    Raises TLSHandshakeError, after which the connection is aborted, and TypeError as `upgrade_server`.
    """
    transport = _tls_transport(protocol)
    injected = (discard or _line_buffer_of(protocol))()
    if injected:
        transport.abortConnection()
        raise TLSHandshakeError(f"{injected} bytes of plaintext follow the reply to STARTTLS")
    transport.startTLS(options)


def handshake_error(reason: Failure) -> TLSHandshakeError | None:
    """The failed handshake behind a connectionLost reason, None if the connection was lost for another cause."""
    error = reason.value
    if not isinstance(error, SSL.Error):
        return None
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    texts = [text for *_, text in queue if text]
    return TLSHandshakeError(texts[-1] if texts else "the peer closed the connection during the handshake")


def _tls_transport(protocol: Protocol) -> _TLSTransport:
    transport = protocol.transport
    if not ITLSTransport.providedBy(transport):
        raise TypeError(f"{type(transport).__name__} cannot start TLS")
    return cast(_TLSTransport, transport)


def _line_buffer_of(protocol: Protocol) -> Discard:
    if not isinstance(protocol, LineReceiver):
        raise TypeError(f"{type(protocol).__name__} does not say how its buffered input is discarded")
    clear = cast(Callable[[], bytes], protocol.clearLineBuffer)
    return lambda: len(clear())
