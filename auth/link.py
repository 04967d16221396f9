"""One kept connection of a client to an auth service: made, greeted, shared by many requests, made again when lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

from .protocol import ProtocolError, client
from .protocol import master_client as master

CONNECT_TIMEOUT = 10.0
"""Seconds for connecting and for the server's greeting."""

REPLY_TIMEOUT = 60.0
"""Seconds for one answer: a failure is delayed by its penalty (15 s) and auth_failure_delay."""

REQUESTS_MAX = 1000
"""Requests under way on one connection; further ones wait for their turn."""


class AuthUnavailable(Exception):
    """The service cannot be asked now (no socket, connection lost, no answer in time, protocol broken): try later."""


class _Lost(AuthUnavailable):
    """The connection went away before an answer came."""


class _Event(Protocol):
    """What both machines' answers have in common."""

    @property
    def id(self) -> int: ...


class Machine(Protocol):
    """What both machines have in common."""

    def receive(self, data: bytes) -> Iterator[object]: ...

    def data_to_send(self) -> bytes: ...


M = TypeVar("M", bound=Machine)


class Link(asyncio.Protocol, Generic[M]):
    """A connection: hands answers to whoever waits for their number."""

    def __init__(self, machine: M) -> None:
        self.machine = machine
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting: dict[int, asyncio.Queue[object | None]] = {}
        self.closed = False
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.machine.receive(data):
                if isinstance(event, client.Ready | master.Ready):
                    if not self.ready.done():
                        self.ready.set_result(None)
                elif (queue := self.waiting.get(cast("_Event", event).id)) is not None:
                    queue.put_nowait(event)
        except ProtocolError as error:
            self._end(f"the auth server {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the auth server closed the connection")
        self.gone.set_result(None)

    def _end(self, reason: str) -> None:
        self.closed = True
        if not self.ready.done():
            self.ready.set_exception(AuthUnavailable(reason))
            self.ready.exception()  # it may be that nobody waits any more
        for queue in self.waiting.values():
            queue.put_nowait(None)

    def flush(self) -> None:
        """Send what the machine holds."""
        data = self.machine.data_to_send()
        if data and self._transport is not None and not self.closed:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class Asked(Generic[M]):
    """A request under way: its connection, number, answers to come, and first answer."""

    link: Link[M]
    id: int
    queue: asyncio.Queue[object | None]
    first: object = None


class KeptConnection(Generic[M]):
    """Keeps one connection to a unix socket and makes it again when it is lost."""

    def __init__(self, path: str | Path, make: Callable[[], M]) -> None:
        self.path = str(path)
        self._make = make
        self._link: Link[M] | None = None
        self._connecting = asyncio.Lock()
        self._slots = asyncio.Semaphore(REQUESTS_MAX)

    async def close(self) -> None:
        """Close the connection; a later request opens another."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
            await link.gone

    async def connected(self) -> Link[M]:
        """The connection, with its greeting complete. Raises AuthUnavailable."""
        async with self._connecting:
            if self._link is not None and not self._link.closed:
                return self._link
            loop = asyncio.get_running_loop()
            link = Link(self._make())
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await loop.create_unix_connection(lambda: link, self.path)
                    await link.ready
            except TimeoutError:
                link.close()
                raise AuthUnavailable(f"{self.path}: no greeting within {CONNECT_TIMEOUT:g} s") from None
            except OSError as error:
                raise AuthUnavailable(f"{self.path}: {error.strerror or error}") from None
            except AuthUnavailable:
                link.close()
                raise
            self._link = link
            return link

    async def answer(self, queue: asyncio.Queue[object | None]) -> object:
        """The next answer. Raises AuthUnavailable."""
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                event = await queue.get()
        except TimeoutError:
            raise AuthUnavailable(f"{self.path}: no answer within {REPLY_TIMEOUT:g} s") from None
        if event is None:
            raise _Lost(f"{self.path}: connection lost")
        return event

    @asynccontextmanager
    async def asked(self, send: Callable[[M], int]) -> AsyncIterator[Asked[M]]:
        """Send a request and wait for its first answer; a kept connection that turns out to be dead is made again."""
        async with self._slots:
            kept = self._link is not None and not self._link.closed
            asked = await self._send(send)
            try:
                try:
                    asked.first = await self.answer(asked.queue)
                except _Lost:
                    if not kept:
                        raise
                    asked = await self._send(send)
                    asked.first = await self.answer(asked.queue)
                yield asked
            finally:
                asked.link.waiting.pop(asked.id, None)

    async def _send(self, send: Callable[[M], int]) -> Asked[M]:
        link = await self.connected()
        queue: asyncio.Queue[object | None] = asyncio.Queue()
        try:
            id = send(link.machine)
        except ProtocolError as error:
            raise AuthUnavailable(str(error)) from None
        link.waiting[id] = queue
        link.flush()
        return Asked(link, id, queue)
