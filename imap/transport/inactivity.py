"""Notices that a peer has said nothing for too long: one timer per connection, which receiving does not touch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Inactivity:
    """Calls `expired` when `heard` was not called for as many seconds as `allow` said last."""

    __slots__ = ("_allowed", "_expired", "_heard", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._allowed = 0.0
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """Something came."""
        self._heard = self._loop.time()

    def allow(self, seconds: float) -> None:
        """From now on so many seconds may pass without a word."""
        self.instead(seconds, self._check)
        self._allowed = seconds
        self._heard = self._loop.time()

    def instead(self, seconds: float, action: Callable[[], None]) -> None:
        """Whatever comes: do this after so many seconds."""
        self.stop()
        self._timer = self._loop.call_later(seconds, action)

    def stop(self) -> None:
        """Wait for nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        left = self._heard + self._allowed - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        else:
            self._expired()
