"""Password checks off the event loop: a bounded pool that serves addresses in turn, and the memory of good checks."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from . import schemes

WAITING_MAX = 1024
"""Checks that may wait; beyond it a log-in fails for the moment rather than memory for good."""

ENTRY_OCTETS = 160
"""What one remembered check costs, to turn auth_cache_size into a number of entries."""


Answer = TypeVar("Answer")


class Busy(Exception):
    """Too many password checks are waiting."""


class FairPool:
    """Threads for slow work. Each client address has its own queue and the queues take turns: a flood of log-ins
    from one address waits for itself, not others for it."""

    def __init__(self, workers: int | None = None, name: str = "password-hash") -> None:
        self._workers = workers or max(2, os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(self._workers, name)
        self._queues: OrderedDict[str, deque[tuple[asyncio.Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._running = 0
        self._waiting = 0

    async def run(self, address: str, work: Callable[[], Answer]) -> Answer:
        """Run ``work`` in a thread when its turn comes. Raises Busy, and whatever ``work`` raises."""
        if self._waiting >= WAITING_MAX:
            raise Busy(f"{self._waiting} password checks are waiting")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(address, deque()).append((future, work))
        self._waiting += 1
        self._start()
        return await future

    def close(self) -> None:
        """Let running checks end and start no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        while self._running < self._workers and self._queues:
            address, queue = self._queues.popitem(last=False)
            future, work = queue.popleft()
            if queue:
                self._queues[address] = queue
            self._waiting -= 1
            if future.cancelled():
                continue
            self._running += 1
            loop.run_in_executor(self._threads, work).add_done_callback(functools.partial(self._ended, future))

    def _ended(self, future: asyncio.Future[Answer], done: asyncio.Future[Answer]) -> None:
        self._running -= 1
        self._start()
        if done.cancelled():
            future.cancel()
            return
        error = done.exception()
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result())


class Remembered:
    """Checks that have succeeded, so that the same password against the same stored hash need not be hashed again.

    Only an HMAC under a key of this process is kept. The stored hash is part of it: a changed password is never
    taken for the old one. Entries live ``ttl`` seconds at most.
    """

    def __init__(self, octets: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = octets // ENTRY_OCTETS
        self._ttl = ttl
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def token(self, scheme: str, stored: str, password: bytes, user: str) -> bytes:
        """The HMAC of one check; its parts are framed by their lengths."""
        parts = [part.encode("utf-8", "surrogateescape") for part in (scheme, stored, user)]
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in [*parts, password])
        return hmac.digest(self._key, framed, hashlib.sha256)

    def knows(self, token: bytes) -> bool:
        """Whether the check is known to succeed."""
        until = self._until.get(token)
        return until is not None and self._clock() < until

    def add(self, token: bytes) -> None:
        """Remember a check that has succeeded."""
        if self._limit <= 0:
            return
        self._until.pop(token, None)
        while len(self._until) >= self._limit:
            self._until.popitem(last=False)
        self._until[token] = self._clock() + self._ttl

    @property
    def enabled(self) -> bool:
        """Whether auth_cache_size leaves room for anything."""
        return self._limit > 0

    def flush(self) -> int:
        """Forget everything; returns the number of entries."""
        count = len(self._until)
        self._until.clear()
        return count


class Hasher:
    """Checks passwords: cheap schemes at once, slow ones in the pool, known ones from memory."""

    def __init__(self, pool: FairPool, remembered: Remembered) -> None:
        self._pool = pool
        self.remembered = remembered

    async def verify(self, scheme: str, stored: str, password: bytes, user: str, address: str) -> bool:
        """Whether the password is the stored one. Raises schemes.SchemeError, Busy."""
        if not schemes.find(scheme)[0].slow:
            return schemes.verify(scheme, stored, password, user)
        token = b""
        if self.remembered.enabled:
            token = self.remembered.token(scheme, stored, password, user)
            if self.remembered.knows(token):
                return True
        good = await self._pool.run(address, lambda: schemes.verify(scheme, stored, password, user))
        if good and token:
            self.remembered.add(token)
        return good
