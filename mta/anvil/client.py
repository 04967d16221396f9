"""The client of anvil(8): one connection of an smtpd process, on which many sessions ask at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Final, cast

from mta.anvil.counters import Count
from mta.anvil.protocol import AnvilError, RecordReader, number, write

ANSWER_SECONDS: Final = 5.0
"""anvil does not wait for anything itself: an answer that takes longer will not come."""


class AnvilClient:
    """Registers events with the anvil service; connects when it is first needed, and again when it was lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def register(self, event: str, ident: str) -> Count:
        """Count an event for all processes. Raises OSError where the service does not answer."""
        connection = await self._connected()
        async with asyncio.timeout(ANSWER_SECONDS):  # TimeoutError is an OSError
            record = await connection.ask(write(request=event, ident=ident))
        try:
            if record.get("status") != "0":
                raise AnvilError(f"status {record.get('status')}")
            return Count(number(record, "count") if event == "connect" else 0, number(record, "rate"))
        except AnvilError as error:
            raise OSError(f"anvil: {error}") from error

    def disconnect(self, ident: str) -> None:
        """A connection has ended. If the service is gone, it has forgotten the connection already."""
        if self._connection is not None and not self._connection.lost:
            self._connection.tell(write(request="disconnect", ident=ident))

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.lost:
                loop = asyncio.get_running_loop()
                _, self._connection = await loop.create_unix_connection(_Connection, str(self._path))
            return self._connection

    def close(self) -> None:
        """Let go of the connection; the service then forgets what it counted for this process."""
        if self._connection is not None:
            self._connection.transport.close()


class _Connection(asyncio.Protocol):
    """Answers come in the order of the requests."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.lost = False
        self._reader = RecordReader()
        self._waiting: deque[asyncio.Future[dict[str, str]] | None] = deque()

    async def ask(self, request: bytes) -> dict[str, str]:
        waiter: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self.transport.write(request)
        return await waiter

    def tell(self, request: bytes) -> None:
        self._waiting.append(None)
        self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for record in self._reader.feed(data):
                waiter = self._waiting.popleft()
                if waiter is not None and not waiter.done():
                    waiter.set_result(record)
        except (AnvilError, IndexError):  # not an answer, or one that nobody asked for
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        for waiter in self._waiting:
            if waiter is not None:
                with contextlib.suppress(asyncio.InvalidStateError):
                    waiter.set_exception(ConnectionResetError("anvil has closed the connection"))
        self._waiting.clear()
