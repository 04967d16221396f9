"""The rate at which an audit connects to a host: a server in use must not feel it."""

from __future__ import annotations

import asyncio


class Pace:
    """`rate` turns a second, evenly spread."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until it is the caller's turn."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        at = max(now, self._next)
        self._next = at + self._interval
        await asyncio.sleep(at - now)
