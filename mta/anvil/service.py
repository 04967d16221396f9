"""anvil as a service: one process that counts for every smtpd process of an instance."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from mta.anvil.counters import EVENTS, Counters
from mta.anvil.protocol import AnvilError, RecordReader, write
from mta.inherited import KEEP_FILE

if TYPE_CHECKING:
    from mta.config import MainConfig

log = logging.getLogger("postfix.anvil")

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]

UNKNOWN: Final = write(status=-1)


class Bound(Protocol):
    """The listening socket private/anvil."""

    @property
    def socket(self) -> socket.socket: ...


def prepare(config: MainConfig, sockets: Sequence[Bound]) -> Serve:
    """The counting process of anvil_rate_time_unit."""
    counters = Counters(config.seconds("anvil_rate_time_unit"))

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        connections: set[Connection] = set()
        servers = [
            await loop.create_unix_server(lambda: Connection(counters, connections), sock=bound.socket, **KEEP_FILE)
            for bound in sockets
        ]
        ready()
        await drain.wait()
        for server in servers:
            server.close()
        for connection in tuple(connections):
            connection.transport.close()

    return serve


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
