"""Counts the sessions of one user from one address, over all processes of a protocol (``mail_max_userip_connections``).

Each session holds a record lock on one byte of a file in base_dir: which user, protocol and address it is decides
where its bytes lie, the limit how many there are. The kernel gives a lock back when its process ends, however it ends,
so nothing has to be cleaned up. Record locks belong to a process; what the process itself holds is kept beside them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

FILE = "hardmail-sessions"

# Bytes that one user, protocol and address have; no limit is higher.
SLOTS = 1 << 16


class Connections:
    """The counter of one process; made while base_dir may be written. Raises OSError."""

    def __init__(self, base_dir: Path, protocol: str) -> None:
        self._protocol = protocol
        self._file = os.open(base_dir / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._held: set[int] = set()

    def enter(self, user: str, address: str, limit: int) -> int | None:
        """Take a place; what :meth:`leave` wants back, or None when all ``limit`` places are taken."""
        key = hashlib.sha256(f"{self._protocol}\0{user}\0{address}".encode()).digest()
        start = int.from_bytes(key[:5]) * SLOTS
        for place in range(start, start + min(limit, SLOTS)):
            if place in self._held:
                continue
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except (BlockingIOError, PermissionError):
                continue
            self._held.add(place)
            return place
        return None

    def leave(self, place: int) -> None:
        """Give a place back."""
        self._held.discard(place)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Give everything back."""
        os.close(self._file)
        self._held.clear()
