"""The time that mail lives by: the system's, or in a laboratory one that can be moved ahead (hardmail_simulated_clock).

Every process of an instance maps the same file, which holds how far the clock is ahead; `hardmail clock` changes it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mta.config import MainConfig

FILE: Final = "clock"
"""In data_directory."""
_AHEAD: Final = struct.Struct("=d")
"""Seconds."""


class SimulatedClock:
    """Seconds since the epoch, ahead of the system's clock by what the file says."""

    def __init__(self, path: Path) -> None:
        """Makes the file if it is missing. Raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size < _AHEAD.size:
                _give_to_owner(fd, path.parent)
                os.pwrite(fd, _AHEAD.pack(0.0), 0)
            self._map = mmap.mmap(fd, _AHEAD.size)
        finally:
            os.close(fd)

    def __call__(self) -> float:
        return time.time() + self.ahead

    @property
    def ahead(self) -> float:
        """Seconds ahead of the system's clock."""
        found: tuple[float] = _AHEAD.unpack_from(self._map)
        return found[0]

    def advance(self, seconds: float) -> None:
        """Move ahead. Time never goes back: what has happened would happen again. Raises ValueError."""
        if not seconds >= 0:
            raise ValueError("the clock goes forward only")
        _AHEAD.pack_into(self._map, 0, self.ahead + seconds)


def clock_of(config: MainConfig) -> Callable[[], float]:
    """The clock of an instance. Whoever cannot reach its file (a tool of another user) goes by the system's."""
    if config.bool("hardmail_simulated_clock"):
        with contextlib.suppress(OSError):
            return SimulatedClock(Path(config.str("data_directory"), FILE))
    return time.time


def _give_to_owner(fd: int, directory: Path) -> None:
    """What root makes here belongs to the mail system's user, who must be able to read it."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
