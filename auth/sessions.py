"""Who is logged in, for ``doveadm who`` and ``kick``: each log-in process notes its sessions in a file of its own.

The file lies in base_dir and is opened before the process is shut in. The process holds a lock on it, which the kernel
gives back however the process ends: a file without a lock tells of nobody. To kick is to mark a record and to wake the
process, as its one process may serve many users.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD = 1024
"""Octets of one session's record; a name that does not fit is cut."""

KICK = signal.SIGUSR1
"""What wakes a process to look for marks."""

_FLOCK = "hhqqi"
"""struct flock (fcntl(2)): type, whence, start, length, pid."""

_PREFIX = "hardmail-who."
_FREE, _USED, _MARKED = b"\0", b"+", b"-"


class Sessions:
    """The sessions of one process. Made while base_dir may be written; raises OSError."""

    def __init__(self, base_dir: Path, protocol: str) -> None:
        self._protocol = protocol
        _sweep(base_dir)
        path = base_dir / f"{_PREFIX}{protocol}.{os.getpid()}"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        self._ends: dict[int, Callable[[], None]] = {}

    def enter(self, user: str, address: str, end: Callable[[], None]) -> int:
        """A user has logged in; what ``leave`` wants back. ``end`` is called when the session is kicked."""
        place = next(number for number in range(len(self._ends) + 1) if number not in self._ends)
        self._ends[place] = end
        words = (self._protocol, address, user)
        text = _USED + "\t".join(words).encode("utf-8", "surrogateescape").replace(b"\0", b"?")
        os.pwrite(self._file, text[: RECORD - 1].ljust(RECORD, b"\0"), place * RECORD)
        return place

    def leave(self, place: int) -> None:
        """The session is over."""
        del self._ends[place]
        os.pwrite(self._file, _FREE, place * RECORD)

    def end_marked(self) -> None:
        """End the sessions that have been marked (on KICK)."""
        for place, end in list(self._ends.items()):
            if os.pread(self._file, 1, place * RECORD) == _MARKED:
                end()

    def close(self) -> None:
        """All are over."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class Session:
    """One session, seen from outside."""

    user: str
    protocol: str
    pid: int
    address: str
    file: Path
    place: int

    def mark(self) -> None:
        """Have it ended once its process is woken with KICK. Raises OSError."""
        descriptor = os.open(self.file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, _MARKED, self.place * RECORD)
        finally:
            os.close(descriptor)


def read(base_dir: Path) -> list[Session]:
    """The sessions of all living processes. Raises OSError."""
    found: list[Session] = []
    for path in sorted(base_dir.glob(f"{_PREFIX}*")):
        with contextlib.suppress(FileNotFoundError):
            if pid := _holder(path):
                found += _sessions(path, pid)
    return found


def _sessions(path: Path, pid: int) -> Iterator[Session]:
    data = path.read_bytes()
    for start in range(0, len(data), RECORD):
        record = data[start : start + RECORD]
        words = record[1:].rstrip(b"\0").decode("utf-8", "surrogateescape").split("\t", 2)
        if record[:1] == _USED and len(words) == 3:
            yield Session(words[2], words[0], pid, words[1], path, start // RECORD)


def _holder(path: Path) -> int:
    """The process that holds the file's lock, 0 for none. The kernel says so: what the file itself says, whoever has
    broken into its process may have written, to have another process signalled."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def _sweep(base_dir: Path) -> None:
    """Remove the files of dead processes."""
    for path in base_dir.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if not _holder(path):
                path.unlink()
