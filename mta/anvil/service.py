"""The counting side of anvil(8): one smtpd process of an instance counts for all of them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Iterable
from typing import Final, cast

from mta.anvil.counters import EVENTS, Counters
from mta.anvil.protocol import AnvilError, RecordReader, write
from mta.inherited import KEEP_FILE

log = logging.getLogger("postfix.anvil")

UNKNOWN: Final = write(status=-1)


class AnvilServer:
    """Answers the other processes on the socket private/anvil."""

    def __init__(self, time_unit: float) -> None:
        """`time_unit`: seconds (anvil_rate_time_unit)."""
        self.counters = Counters(time_unit)
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []

    async def listen(self, sockets: Iterable[socket.socket]) -> None:
        """Answer on these until `close`."""
        loop = asyncio.get_running_loop()
        for bound in sockets:
            server = await loop.create_unix_server(self._connection, sock=bound, **KEEP_FILE)
            self._servers.append(server)

    def _connection(self) -> Connection:
        return Connection(self.counters, self._connections)

    def close(self) -> None:
        """Let go of everybody; they find whoever counts now when they next have something to count."""
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections):
            connection.transport.close()


class Connection(asyncio.Protocol):
    """One smtpd process. When it ends, however it ends, its clients' connections have ended with it."""

    transport: asyncio.Transport

    def __init__(self, counters: Counters, connections: set[Connection]) -> None:
        self._counters = counters
        self._connections = connections
        self._reader = RecordReader()
        self._open: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            answers = [self._answer(record) for record in self._reader.feed(data)]
        except AnvilError as error:
            log.warning("bad request: %s", error)
            self.transport.close()
            return
        self.transport.write(b"".join(answers))

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        for ident in self._open.elements():
            self._counters.disconnect(ident)

    def _answer(self, record: dict[str, str]) -> bytes:
        request, ident = record.get("request", ""), record.get("ident", "")
        if request == "disconnect" and self._open[ident] > 0:
            self._open[ident] -= 1
            self._counters.disconnect(ident)
            if not self._open[ident]:
                del self._open[ident]
            return write(status=0)
        if request not in EVENTS or not ident:
            return UNKNOWN
        count = self._counters.register(request, ident)
        if request == "connect":
            self._open[ident] += 1
            return write(status=0, count=count.open, rate=count.rate)
        return write(status=0, rate=count.rate)
