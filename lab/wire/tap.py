"""A tap: the place on the way to a server where somebody listens. It passes everything on and keeps a copy."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Final, Self

CHUNK: Final = 1 << 16
KEPT_OCTETS: Final = 1 << 20
"""What a tap keeps at most; a dialogue of a probe has some thousand."""


class Tap:
    """Listens on 127.0.0.1 (`port`) and connects every client to the server at `target`, as if from `source`."""

    def __init__(self, target: tuple[str, int], source: str | None = None) -> None:
        self._target = target
        self._source = (source, 0) if source else None
        self._heard = bytearray()
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    def heard(self, secret: str) -> bool:
        """Whether this text has gone by in the clear."""
        return secret.encode() in self._heard

    @property
    def octets(self) -> int:
        """How many octets have gone by, in both directions."""
        return len(self._heard)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._relay(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            far_reader, far_writer = await asyncio.open_connection(*self._target, local_addr=self._source)
            with contextlib.closing(far_writer):
                await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octets := await reader.read(CHUNK):
            self._heard += octets[: KEPT_OCTETS - len(self._heard)]
            writer.write(octets)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
