"""smtp_reply_filter: what a server says, line by line, is replaced before it is understood."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from aiosmtplib.protocol import MAX_RESPONSE_LENGTH

from mta.delivery.smtp.protocol import BadReply, ClientProtocol
from mta.delivery.smtp.tlspolicy import Maps
from mta.tables import TableError

logger = logging.getLogger("postfix.smtp")

QUEUED: Final = 2 * MAX_RESPONSE_LENGTH
"""Octets of lines that wait to be looked up; a server that sends more is no use."""


class FilteredProtocol(ClientProtocol):
    """A connection whose lines pass through a table. Looking up takes a while, so lines and the end wait in a queue."""

    def __init__(self, maps: Maps, label: str) -> None:
        super().__init__()
        self._maps = maps
        self._label = label
        self._begun = bytearray()
        self._events: deque[bytes | Callable[[], None]] = deque()
        self._size = 0
        self._work: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        self._begun += data
        self._size += len(data)
        if self._size > QUEUED:
            self._fail(BadReply("reply too long"))
            return
        *lines, rest = bytes(self._begun).split(b"\n")
        self._begun[:] = rest
        self._put(*lines)

    def eof_received(self) -> bool:
        self._put(self._end)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._put(lambda: ClientProtocol.connection_lost(self, exc))

    async def start_tls_now(self, *arguments: object, **more: object) -> None:
        """What came in clear text behind the go-ahead is forgotten, looked up or not."""
        self.forget()
        await super().start_tls_now(*arguments, **more)  # type: ignore[arg-type]

    def forget(self) -> None:
        """Lines that nobody has looked at yet."""
        if self._work is not None:
            self._work.cancel()
            self._work = None
        self._events.clear()
        self._begun.clear()
        self._size = 0

    def _end(self) -> None:
        ClientProtocol.eof_received(self)

    def _put(self, *events: bytes | Callable[[], None]) -> None:
        self._events += events
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._work_off())

    async def _work_off(self) -> None:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, bytes):
                self._size -= len(event) + 1
                await self._look_up(event)
            else:
                event()

    async def _look_up(self, octets: bytes) -> None:
        line = octets.rstrip(b"\r").decode("utf-8", "surrogateescape")
        try:
            found = await self._maps.lookup(line)
        except TableError as error:
            logger.warning("%s: reply filter: %s", self._label, error)
            self._fail(BadReply("the reply filter cannot be asked"))
            return
        if found is not None:
            logger.info('%s: replacing server reply "%s" with "%s"', self._label, line, found)
            line = found
        super().data_received(line.encode("utf-8", "surrogateescape") + b"\r\n")
        if self._expected <= 0:  # what came behind the last reply owed is no answer to anything, as in ClientProtocol
            self._events = deque(event for event in self._events if not isinstance(event, bytes))
            self._begun.clear()
            self._size = 0
