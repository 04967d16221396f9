"""Connections kept for the next delivery to the same place (smtp_connection_cache_on_demand)."""

from __future__ import annotations

import asyncio
from typing import Final

from mta.delivery.smtp.session import Session

MAX_IDLE: Final = 50
"""Idle connections of one client service; more than the concurrency of a busy destination are of no use."""


class Pool:
    """Idle sessions by destination; each is closed when it has waited too long."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._sessions: dict[object, list[tuple[float, Session]]] = {}
        """With the moment until which they are kept; the newest last."""
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def take(self, key: object) -> Session | None:
        """A session that still stands, the most recently used first."""
        waiting = self._sessions.get(key, [])
        while waiting:
            _, session = waiting.pop()
            self._count -= 1
            if session.protocol.usable:
                return session
            session.close()
        return None

    def put(self, key: object, session: Session) -> None:
        """Keep a session for a while."""
        if self._count >= MAX_IDLE or not session.protocol.usable:
            self.dismiss(session)
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._idle_seconds
        self._sessions.setdefault(key, []).append((until, session))
        self._count += 1
        if self._timer is None:
            self._timer = loop.call_at(until, self._sweep)

    def dismiss(self, session: Session) -> None:
        """Say good-bye in the background."""
        task = asyncio.get_running_loop().create_task(session.quit())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _sweep(self) -> None:
        """Dismiss those whose time is over, and come again for the next. One timer serves all."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for key, waiting in list(self._sessions.items()):
            while waiting and waiting[0][0] <= now:
                self.dismiss(waiting.pop(0)[1])
                self._count -= 1
            if not waiting:
                del self._sessions[key]
        following = min((waiting[0][0] for waiting in self._sessions.values()), default=None)
        self._timer = None if following is None else loop.call_at(following, self._sweep)

    async def close(self) -> None:
        """End all idle sessions."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self._sessions.values():
            for _, session in waiting:
                self.dismiss(session)
        self._sessions.clear()
        self._count = 0
        if self._closing:
            await asyncio.wait(self._closing, timeout=self._idle_seconds)
