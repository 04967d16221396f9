"""What the service's connections share: the transport, the tasks under way, replies gathered into few writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator
from typing import Any, cast

from . import wiretap
from .core import Core

log = logging.getLogger("dovecot.auth")

BACKLOG_MAX = 1 << 20
"""Octets of replies waiting for a client that does not read; then it is cut off."""


class _Begun:
    """A coroutine that has run up to its first wait, for a task to go on with."""

    def __init__(self, work: Coroutine[Any, Any, None], awaited: object) -> None:
        self._work = work
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, None]:
        awaited = self._awaited
        try:
            while True:
                try:
                    value = yield awaited
                except BaseException as error:
                    awaited = self._work.throw(error)
                else:
                    awaited = self._work.send(value)
        except StopIteration:
            return


async def _rest(begun: _Begun) -> None:
    await begun


class Connection(asyncio.Protocol):
    """What client and master connections share: the transport, the tasks, the end."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    @property
    def busy(self) -> bool:
        """Whether requests are under way."""
        return bool(self._tasks)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.core.connections.add(self)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.core.connections.discard(self)
        self.core.changed.set()
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """End the connection once what is due has been sent."""
        if self._transport is not None:
            self._transport.close()

    def pending(self) -> bytes:
        """Bytes due to the peer."""
        raise AssertionError("every connection has a machine behind it")

    def _flush_soon(self) -> None:
        """Send what is due once all that ends in this turn of the loop has ended: many replies, one write."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        data = self.pending()
        if not data or self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > BACKLOG_MAX:
            log.warning("auth client does not read its replies, disconnecting it")
            self._transport.abort()
            return
        if wiretap.on():
            wiretap.show(self, data, client=False)
        self._transport.write(data)

    def wire_ends(self) -> wiretap.Ends:
        """For `hardmail watch`."""
        transport = self._transport
        return wiretap.Ends("auth", "unix", wiretap.name(transport.get_extra_info("sockname") if transport else ""))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Do the work: at once as far as it need not wait (the reply then precedes those to later lines), else in a
        task. Databases that do wait may want a task from the start (asyncio.timeout does)."""
        if self.core.authenticator.immediate:
            try:
                work = _rest(_Begun(work, work.send(None)))
            except StopIteration:
                return None
            except Exception as error:
                self._failed(error)
                return None
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.core.changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        log.error("BUG: an auth request failed: %s", type(error).__name__, exc_info=error)
        self.close()
