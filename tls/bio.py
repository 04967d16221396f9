"""
A pyOpenSSL connection in the shape of ssl.SSLObject, so that asyncio and uvloop can run a server's TLS over it.

Python's own `ssl` ends the handshake when a client shows a certificate that no known authority signed, where Postfix
goes on and notes "not verified" (clients are often listed by fingerprint); nor does it tell the key exchange.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from tls import binding, names
from tls.verification import Verification

_CHUNK = 1 << 16
_HEADER = 5
"""Bytes before a record's content: type, version, length."""
_CONTENT_TYPES = range(20, 25)
_CHANGE_CIPHER_SPEC = 20
_MAJOR_VERSION = 3

T = TypeVar("T")


class BIOServerContext(ssl.SSLContext):
    """
    A server context whose connections over memory buffers, which are those of event loops, run in pyOpenSSL.

    Set `openssl` before use. Blocking sockets (wrap_socket) still run in Python's ssl, with that context's settings.
    """

    openssl: SSL.Context

    def wrap_bio(  # type: ignore[override]
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = True,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> BIOConnection:
        """What an event loop calls for each connection it accepts."""
        if not server_side:
            raise ValueError("a server's context cannot connect")
        return BIOConnection(self, incoming, outgoing)


class BIOConnection:
    """The methods of ssl.SSLObject that event loops and callers use; raises the same exceptions as it does."""

    server_side = True
    server_hostname = None
    session_reused = None
    """Not known."""

    def __init__(self, context: BIOServerContext, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self.context = context
        self.connection = SSL.Connection(context.openssl, None)
        """For tls.description."""
        self.connection.set_accept_state()
        Verification.attach(self.connection)
        self._incoming = incoming
        self._outgoing = outgoing
        self._record = bytearray()
        self._ended = False
        self._client_finished_first = True

    def do_handshake(self) -> None:
        """One step of the handshake; raises SSLWantReadError until it is complete."""
        self._run(self.connection.do_handshake)

    def read(self, size: int = _CHUNK, buffer: Any = None) -> Any:
        """Up to `size` bytes, or their number if a buffer is given; nothing once the peer has ended the session."""
        try:
            if buffer is None:
                return self._run(lambda: self.connection.recv(size))
            return self._run(lambda: self.connection.recv_into(buffer, size))
        except ssl.SSLZeroReturnError:
            return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        """Encrypt; the number of bytes taken."""
        return self._run(lambda: self.connection.send(data))

    def unwrap(self) -> None:
        """Say goodbye; raises SSLWantReadError until the peer has done so too."""

        def shutdown() -> None:
            if not self.connection.shutdown():
                raise SSL.WantReadError

        self._run(shutdown)

    def pending(self) -> int:
        """Bytes that are decrypted and not yet read."""
        return self.connection.pending()

    def getpeercert(self, binary_form: bool = False) -> Any:
        """The peer's certificate: DER or None; otherwise no more than its common name, and only if it is trusted."""
        certificate = self.connection.get_peer_certificate(as_cryptography=True)
        if binary_form:
            return certificate.public_bytes(Encoding.DER) if certificate else None
        found = Verification.of(self.connection)
        if certificate is None or found is None or not found.trusted:
            return {}
        return {"subject": ((("commonName", names.common_name(certificate.subject)),),)}

    def get_channel_binding(self, cb_type: str = binding.UNIQUE) -> bytes | None:
        """tls-exporter in TLS 1.3, tls-unique before it; None for the other one."""
        if cb_type == binding.EXPORTER:
            return binding.exporter(self.connection)
        if cb_type == binding.UNIQUE:
            return binding.unique(self.connection, client_first=self._client_finished_first)
        raise ValueError(f"unknown channel binding {cb_type}")

    def cipher(self) -> tuple[str, str, int] | None:
        """Name, protocol and secret bits of the cipher; None before the handshake."""
        name, bits = self.connection.get_cipher_name(), self.connection.get_cipher_bits()
        return (name, self.connection.get_cipher_version() or "", bits) if name and bits else None

    def version(self) -> str | None:
        """`TLSv1.3`; None before the handshake."""
        return self.connection.get_protocol_version_name() if self.connection.get_cipher_name() else None

    def compression(self) -> None:
        """None: never used (CVE-2012-4929)."""

    def selected_alpn_protocol(self) -> None:
        """None: mail protocols do not negotiate."""

    def _run(self, step: Callable[[], T]) -> T:
        """Do one thing, with as much input as it takes; translate the exceptions to those of ssl."""
        try:
            while True:
                try:
                    return step()
                except SSL.WantReadError as error:
                    if not self._feed():
                        raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete") from error
        except SSL.ZeroReturnError as error:
            raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "TLS session has been closed") from error
        except SSL.SysCallError as error:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol") from error
        except SSL.Error as error:
            raise _translated(error) from error
        finally:
            self._flush()

    def _feed(self) -> bool:
        """
        Hand one more record (RFC 8446 section 5.1) to OpenSSL; False if none is complete.

        No more than one, because event loops look at what is left in `incoming` to know whether to go on reading.
        """
        length = _HEADER
        self._take(length)
        if len(self._record) >= _HEADER:
            if self._record[0] in _CONTENT_TYPES and self._record[1] == _MAJOR_VERSION:
                length += int.from_bytes(self._record[3:_HEADER], "big")
                self._take(length)
            if len(self._record) >= length:
                if self._record[0] == _CHANGE_CIPHER_SPEC:
                    # Its sender's Finished follows; in a resumed session (before TLS 1.3) the server's came first.
                    self._client_finished_first = not self.connection.get_finished()
                # What is no TLS at all goes in as well: OpenSSL has the words for it.
                self.connection.bio_write(bytes(self._record))
                self._record.clear()
                return True
        if self._incoming.eof and not self._ended:
            self._ended = True
            self.connection.bio_shutdown()
            return True
        return False

    def _take(self, length: int) -> None:
        """Fill the record up to `length`, as far as the input goes."""
        missing = length - len(self._record)
        if missing > 0:  # read(0) would read everything
            self._record += self._incoming.read(missing)

    def _flush(self) -> None:
        try:
            while True:
                self._outgoing.write(self.connection.bio_read(_CHUNK))
        except SSL.WantReadError:
            return  # nothing is left to send


def _translated(error: SSL.Error) -> ssl.SSLError:
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    text = queue[-1][-1] if queue else "protocol error"
    translated = ssl.SSLError(ssl.SSL_ERROR_SSL, f"[SSL] {text}")
    translated.reason = text.replace(" ", "_").upper()
    return translated
