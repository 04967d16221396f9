"""Looks whether clients are silent for too long. One timer serves all: one for each would cost as much as a command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

LATE: Final = 1.0
"""Seconds that a time limit may be exceeded; with a short limit it is less."""

SHARE: Final = 8
"""Looks within one smtpd_timeout, at least."""


class Timekeeper:
    """Runs while there are connections."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connections: set[Connection], limit: float) -> None:
        """Look at the connections from time to time. `limit`: seconds of a usual time limit."""
        if self._timer is None:
            pause = min(LATE, limit / SHARE)
            self._timer = asyncio.get_running_loop().call_later(pause, self._look, connections, limit)

    def _look(self, connections: set[Connection], limit: float) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for connection in tuple(connections):
            connection.check_deadline(now)
        if connections:
            self.watch(connections, limit)
