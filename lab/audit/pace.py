"""The rate at which an audit connects to a host: a server in use must not feel it."""

from __future__ import annotations

import asyncio
from typing import Final

SLOWEST_SECONDS: Final = 1.0


class Pace:
    """`rate` turns a second, evenly spread."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next = 0.0

    def slower(self) -> None:
        """The server has had too much."""
        self._interval = max(self._interval, min(self._interval * 2, SLOWEST_SECONDS))

    async def turn(self) -> None:
        """Wait until it is the caller's turn."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        at = max(now, self._next)
        self._next = at + self._interval
        await asyncio.sleep(at - now)
