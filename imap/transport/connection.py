"""One connection on Twisted: it hands octets to its session, and is its session's wire."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

from cryptography.x509 import Certificate
from OpenSSL import SSL
from twisted.internet import interfaces, protocol
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped,unused-ignore]

from auth import wiretap
from imap.admission import Admission
from imap.deflate import MAX_WAITING, Deflate
from imap.session import Session
from imap.transport.inactivity import Inactivity
from tls.binding import noted
from tls.starttls_twisted import handshake_error, upgrade_server
from tls.verification import Verification

if TYPE_CHECKING:
    from imap.transport.server import Server

# Seconds that a client has for the TLS handshake of an implicit-TLS port or behind STARTTLS.
HANDSHAKE_TIMEOUT = 60.0
# Seconds that sessions have to take their last words when the service ends.
FAREWELL = 0.3

# Dovecot's word to a client that makes way for a newer one.
QUEUE_FULL = "Connection queue full"
TOO_MANY = "Too many connections, try again later."


@implementer(interfaces.IPushProducer, interfaces.IHandshakeListener)
class Connection(protocol.Protocol):
    """One connection: hands octets to its session, and is its session's wire."""

    _noisy: ClassVar[bool] = False

    def __init__(self, factory: Server, *, implicit_tls: bool) -> None:
        self.server = factory
        self.implicit_tls = implicit_tls
        self.is_tls = implicit_tls
        self.local: tuple[str, int] = ("", 0)
        self.remote: tuple[str, int] = ("", 0)
        self.session: Session | None = None
        self._inactivity = Inactivity(factory.loop, self._silent)
        self._paused: asyncio.Future[None] | None = None
        self._greeted = False
        self._direct = False  # in the clear, and nothing waits to be sent
        self._admission: asyncio.Task[None] | None = None
        self._held_back = False  # not read, since too much waits behind a command
        self._deflate: Deflate | None = None
        self.leaving = False  # told to go, to make room

    # From Twisted

    def connectionMade(self) -> None:
        transport = self._transport
        with contextlib.suppress(AttributeError, OSError):
            transport.setTcpNoDelay(True)
        self.local, self.remote = _address(transport.getHost()), _address(transport.getPeer())
        if not self.server.has_room():
            self._refuse()
            return
        self.server.connections[self] = None
        if self.server.admission is None:
            self._begin()
        else:
            transport.pauseProducing()  # what the client says waits with the kernel, its TLS handshake too
            self._admission = self._loop.create_task(self._admit(self.server.admission))

    def _refuse(self) -> None:
        """Every place is a logged-in user's: say so, where that can be said without a handshake, and close."""
        if self.implicit_tls:
            self._abort()
            return
        self.session = self.server.make_session(self)
        self.session.bye(TOO_MANY)

    @property
    def is_stranger(self) -> bool:
        """Whether nobody has logged in here, and it still counts."""
        return not self.leaving and (self.session is None or not self.session.is_logged_in)

    def make_way(self) -> None:
        """End it in favour of a newer connection, with a word that gets a moment to leave."""
        self.leaving = True
        if self.session is None or not self._greeted:
            self._abort()
            return
        self.session.bye(QUEUE_FULL)
        self._inactivity.instead(FAREWELL, self._abort)

    async def _admit(self, admission: Admission) -> None:
        """Ask hosts.allow and hosts.deny; a client that they refuse hears no greeting."""
        admitted, banner = await admission.admit(self.remote[0], self.local[0])
        if banner and not self.implicit_tls:
            self.write(banner)
        if not admitted:
            self._abort() if self.implicit_tls else self._transport.loseConnection()
            return
        self._transport.resumeProducing()
        self._begin()

    def _begin(self) -> None:
        transport = self._transport
        self.session = self.server.make_session(self)
        self._direct = not self.implicit_tls
        transport.registerProducer(self, True)
        if self.implicit_tls:
            self.set_timeout(HANDSHAKE_TIMEOUT)
        else:
            self._greet()

    def handshakeCompleted(self) -> None:
        """The TLS handshake is over; on an implicit-TLS port the greeting follows."""
        if not self._greeted:
            self._greet()

    def _greet(self) -> None:
        self._greeted = True
        if self.session is not None:
            self.session.greet()

    def dataReceived(self, data: bytes) -> None:
        self._inactivity.heard()
        session = self.session
        if self._deflate is not None:
            self._deflate.feed(data)
            self._inflate()
        elif session is not None:
            if wiretap.on():
                wiretap.show(self, data, client=True)
            session.receive(data)
            if session.is_full and not session.closed:
                self._hold_back()

    def _inflate(self) -> None:
        """Hand on what is inflated, piece by piece, as long as the session can keep up."""
        session, deflate = self.session, self._deflate
        while deflate is not None and session is not None and not session.closed:
            if session.buffered > MAX_WAITING:
                self._hold_back()
                return
            try:
                piece = deflate.next()
            except zlib.error:
                session.bye("Invalid compressed data.")
                return
            if not piece:
                return
            if wiretap.on():
                wiretap.show(self, piece, client=True)
            session.receive(piece)

    def _hold_back(self) -> None:
        """Read nothing more until a command is answered."""
        if not self._held_back:
            self._held_back = True
            self._transport.pauseProducing()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self._inactivity.stop()
        if self._admission is not None:
            self._admission.cancel()
        self.server.connections.pop(self, None)
        self.resumeProducing()
        session, self.session = self.session, None
        if session is not None:
            failed = handshake_error(reason)
            session.lost(f"TLS handshaking failed: {failed}" if failed is not None else "Connection closed")
        self.server.gone()

    def pauseProducing(self) -> None:
        """The peer takes less than we write: the session waits at its next pause."""
        if self._paused is None:
            self._paused = self._loop.create_future()

    def resumeProducing(self) -> None:
        """The peer has caught up: nothing waits any more."""
        self._direct = not self.is_tls
        waiting, self._paused = self._paused, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def stopProducing(self) -> None:
        """The connection is going down."""
        self.resumeProducing()

    # For the session

    @property
    def _transport(self) -> Any:
        return self.transport

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self.server.loop

    def write(self, data: bytes) -> None:
        """Send octets: at once where nothing waits before them, without another turn of the reactor."""
        if wiretap.on() and self.session is not None:
            wiretap.show(self, data, client=False)
        if self._deflate is not None:
            data = self._deflate.compress(data)
        if self._direct:
            with contextlib.suppress(OSError):  # which the reactor meets again and handles
                data = data[self._transport.getHandle().send(data) :]
        if data:
            self._direct = False
            self._transport.write(data)
        if self._held_back and (self.session is None or not self.session.is_full):  # a command was answered
            self._held_back = False
            self._transport.resumeProducing()
            if self._deflate is not None:
                self._loop.call_soon(self._inflate)

    def wire_ends(self) -> wiretap.Ends:
        """For `hardmail watch`."""
        assert self.session is not None
        login = self.session.login
        user = (login.user or "") if self.session.is_logged_in else ""
        ends = wiretap.name(self.remote), wiretap.name(self.local)
        return wiretap.Ends(login.settings.protocol, *ends, self.is_tls, user)

    def writable(self) -> asyncio.Future[None] | None:
        """A future to wait for while the peer is slow, else None."""
        return self._paused

    def start_tls(self, go_ahead: bytes) -> None:
        """Send the go-ahead and begin TLS. The session has already thrown away what it had buffered."""
        options = self.server.tls
        assert options is not None
        transport = self._transport
        if wiretap.on():
            wiretap.show(self, go_ahead, client=False)
        self._direct = False
        transport.unregisterProducer()
        upgrade_server(self, options, go_ahead=go_ahead, discard=lambda: 0)
        transport.registerProducer(self, True)
        self.is_tls = True

    def client_certificate(self) -> Certificate | None:
        """What the client has shown, if an authority of ssl_ca has signed it (ssl_verify_client_cert)."""
        handle = self._transport.getHandle() if self.is_tls else None
        if not isinstance(handle, SSL.Connection):
            return None
        found = Verification.of(handle)
        return handle.get_peer_certificate(as_cryptography=True) if found is not None and found.trusted else None

    def channel_binding(self, kind: str) -> bytes | None:
        """Channel binding data of a kind, None where there are none."""
        handle = self._transport.getHandle() if self.is_tls else None
        return noted(handle, kind) if isinstance(handle, SSL.Connection) else None

    def start_compression(self) -> None:
        """Deflate in both directions from here on."""
        self._deflate = Deflate()

    def close(self) -> None:
        """Send what is still to be sent, then close."""
        transport = self._transport
        transport.unregisterProducer()
        transport.loseConnection()
        # A peer that takes nothing any more would keep the connection for ever.
        self._inactivity.instead(HANDSHAKE_TIMEOUT, self._abort)

    def _abort(self) -> None:
        with contextlib.suppress(AttributeError):
            self._transport.abortConnection()

    def set_timeout(self, seconds: float) -> None:
        """Tell the session when nothing has come for so long."""
        self._inactivity.allow(seconds)

    def _silent(self) -> None:
        if self.session is not None and self._greeted:
            self.session.timed_out()
        else:
            self._abort()


def _address(address: object) -> tuple[str, int]:
    """Host and port of a Twisted address; an IPv4-mapped one as IPv4."""
    host, port = str(getattr(address, "host", "")), int(getattr(address, "port", 0))
    with contextlib.suppress(ValueError):
        mapped = getattr(ipaddress.ip_address(host.partition("%")[0]), "ipv4_mapped", None)
        host = str(mapped) if mapped is not None else host
    return host, port
