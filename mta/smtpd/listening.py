"""Taking connections, no more at a time than the maxproc of a master.cf line: others wait in the listen backlog.

Postfix's smtpd(8) serves one client in each process, so that maxproc bounds clients, memory and descriptors at once.
A worker here serves many clients; maxproc is the number of sessions of all workers of the line together, each of which
has its share. A line that has reached it accepts nothing until a session ends. While that happens, and for a while
after it, new sessions run under stress (STRESS_README): shorter time limits, fewer errors.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final

from mta.smtpd.connection import Connection

if TYPE_CHECKING:
    from mta.smtpd.server import Server

log = logging.getLogger("postfix.master")

STRESS_SECONDS: Final = 1000.0
"""How long a line stays under stress after it was last full, as master(8)."""

AT_ONCE: Final = 32
"""Connections taken in one turn of the event loop: whoever has a session does not wait long for those who come."""

EXHAUSTED_PAUSE: Final = 1.0
"""Seconds without accepting when the system has no descriptor or memory left for a connection."""

FULL: Final = (
    'service "%s" has reached its process limit "%d": new clients may experience noticeable delays',
    "to avoid this condition, increase the process count in master.cf or reduce the service time per client",
    "see https://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings",
)


def share(limit: int, workers: int, number: int) -> int:
    """How many of `limit` sessions the worker with this number (from 0) may have; all shares together are `limit`."""
    return (limit + workers - 1 - number) // workers


@dataclass(eq=False)
class Line:
    """The sockets of one master.cf line in this worker. Callbacks run in the event loop."""

    name: str
    sockets: Sequence[socket.socket]
    limit: int
    """Sessions of the line in all workers, 0 for any number: maxproc of master(5)."""
    room: float
    """Sessions that this worker may have."""
    server: Server
    stressed: Server
    """What serves clients while the line is full."""
    sessions: set[Connection] = field(default_factory=set)
    beginning: set[asyncio.Task[None]] = field(default_factory=set)
    """Accepted, but amid a TLS handshake: there is no session yet."""
    _open: bool = False
    _draining: bool = False
    _stress_ends: float = -inf

    @classmethod
    def of(
        cls,
        name: str,
        sockets: Sequence[socket.socket],
        limit: int,
        place: tuple[int, int],
        servers: tuple[Server, Server],
    ) -> Line:
        """`place`: number of workers, number of this one."""
        return cls(name, sockets, limit, share(limit, *place) if limit else inf, *servers)

    def open(self) -> None:
        """Accept while there is room."""
        if self._open or self._draining:
            return
        if len(self.sessions) < self.room:
            self._open = True
            loop = asyncio.get_running_loop()
            for listener in self.sockets:
                loop.add_reader(listener, self._accept, listener)

    def close(self) -> None:
        """Accept nothing more, ever."""
        self._draining = True
        self._pause()
        for listener in self.sockets:
            listener.close()

    def _pause(self) -> None:
        if self._open:
            self._open = False
            loop = asyncio.get_running_loop()
            for listener in self.sockets:
                loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        """Take those who wait: they go through their dialogues side by side then, and share a transaction."""
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            if not self._open:
                return
            try:
                accepted, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # nobody is left, or the client has gone
            except OSError as error:
                log.warning("accept: %s", error.strerror)
                self._pause()
                loop.call_later(EXHAUSTED_PAUSE, self.open)
                return
            accepted.setblocking(False)
            connection = Connection(self.stressed if loop.time() < self._stress_ends else self.server, self._ended)
            self.sessions.add(connection)
            if len(self.sessions) >= self.room:
                self._fill(loop.time())
            task = loop.create_task(self._begin(connection, accepted))
            self.beginning.add(task)
            task.add_done_callback(self.beginning.discard)

    async def _begin(self, connection: Connection, accepted: socket.socket) -> None:
        server = connection.server
        context = server.tls.context if server.tls.wrapper_mode else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=server.starttls_timeout if context else None,
            )
        except BaseException as error:
            self._ended(connection)  # whatever it was, its place is free again
            if not isinstance(error, OSError | ssl.SSLError):
                raise
            log.info("TLS handshake failed: %s", error)

    def _ended(self, connection: Connection) -> None:
        self.sessions.discard(connection)
        self.open()

    def _fill(self, now: float) -> None:
        self._pause()
        if now >= self._stress_ends:
            log.warning(FULL[0], self.name, self.limit)
            for text in FULL[1:]:
                log.warning(text)
        self._stress_ends = now + STRESS_SECONDS
