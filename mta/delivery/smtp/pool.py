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
        self._sessions: dict[object, list[tuple[Session, asyncio.TimerHandle]]] = {}
        self._count = 0
        self._closing: set[asyncio.Task[None]] = set()

    def take(self, key: object) -> Session | None:
        """A session that still stands, the most recently used first."""
        waiting = self._sessions.get(key, [])
        while waiting:
            session, timer = waiting.pop()
            self._count -= 1
            if not waiting:
                self._sessions.pop(key, None)
            timer.cancel()
            if session.protocol.usable:
                return session
            session.close()
        return None

    def put(self, key: object, session: Session) -> None:
        """Keep a session for a while."""
        if self._count >= MAX_IDLE or not session.protocol.usable:
            self.dismiss(session)
            return
        timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire, key, session)
        self._sessions.setdefault(key, []).append((session, timer))
        self._count += 1

    def dismiss(self, session: Session) -> None:
        """Say good-bye in the background."""
        task = asyncio.get_running_loop().create_task(session.quit())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _expire(self, key: object, session: Session) -> None:
        waiting = self._sessions.get(key, [])
        kept = [entry for entry in waiting if entry[0] is not session]
        self._count -= len(waiting) - len(kept)
        if kept:
            self._sessions[key] = kept
        else:
            self._sessions.pop(key, None)
        self.dismiss(session)

    async def close(self) -> None:
        """End all idle sessions."""
        for waiting in self._sessions.values():
            for session, timer in waiting:
                timer.cancel()
                self.dismiss(session)
        self._sessions.clear()
        self._count = 0
        if self._closing:
            await asyncio.wait(self._closing, timeout=self._idle_seconds)
