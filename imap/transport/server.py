"""The connections of one service in one process: accepting them, room for them, their common end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from twisted.internet import protocol
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory

from imap.admission import Admission
from imap.capacity import Capacity
from imap.session import Session
from imap.transport.connection import FAREWELL, Connection

MakeSession = Callable[[Connection], Session]


class Bound(Protocol):
    """A listening socket of the supervisor, its tag (``imap``, ``imaps`` ...) and its listener's settings."""

    @property
    def socket(self) -> socket.socket: ...
    @property
    def tag(self) -> str: ...
    @property
    def options(self) -> Any: ...


class Server:
    """The connections of one service in one process."""

    def __init__(
        self,
        make_session: MakeSession,
        tls: IOpenSSLServerConnectionCreator | None,
        loop: asyncio.AbstractEventLoop,
        admission: Admission | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        self.make_session = make_session
        self.tls = tls
        self.loop = loop
        self.admission = admission
        self.capacity = capacity
        self.connections: dict[Connection, None] = {}  # the oldest first
        self._ports: list[Any] = []
        self._gone = asyncio.Event()

    def listen(self, reactor: Any, sockets: Sequence[Bound], tls_tag: str) -> None:
        """Accept on the supervisor's sockets; those with ``tls_tag`` or ``ssl=yes`` speak TLS from the start."""
        for bound in sockets:
            implicit = bound.tag == tls_tag or bound.options.get("ssl") == "yes"
            if implicit and self.tls is None:
                continue
            factory: Any = _Factory(self, implicit_tls=implicit)
            if implicit:
                factory = TLSMemoryBIOFactory(cast(Any, self.tls), False, factory)
            factory.noisy = False
            port = reactor.adoptStreamPort(bound.socket.fileno(), bound.socket.family, factory)
            self._ports.append(port)

    def has_room(self) -> bool:
        """Whether one more is taken; where strangers have all their places, the oldest of them makes way."""
        capacity = self.capacity
        if capacity is None or len(self.connections) < min(capacity.strangers, capacity.connections):
            return True
        strangers = [each for each in self.connections if each.is_stranger]
        leaving = sum(each.leaving for each in self.connections)
        full = len(self.connections) - leaving >= capacity.connections
        if full and not strangers:
            return False
        if full or len(strangers) >= capacity.strangers:
            strangers[0].make_way()
        return True

    async def drain(self) -> None:
        """Stop accepting and wait until every session has come to its own end."""
        for port in self._ports:
            port.stopListening()
        self._ports.clear()
        await self._until_empty()

    async def _until_empty(self) -> None:
        while self.connections:
            self._gone.clear()
            await self._gone.wait()

    def gone(self) -> None:
        """A connection is over."""
        self._gone.set()

    async def close_all(self) -> None:
        """End every session now, with a word, and give the words a moment to leave."""
        for connection in list(self.connections):
            if connection.session is not None:
                connection.session.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until_empty(), FAREWELL)


class _Factory(protocol.Factory):
    noisy = False

    def __init__(self, server: Server, *, implicit_tls: bool) -> None:
        self._server = server
        self._implicit_tls = implicit_tls

    def buildProtocol(self, addr: object) -> Connection:
        return Connection(self._server, implicit_tls=self._implicit_tls)
