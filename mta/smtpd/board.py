"""What the workers tell each other of their clients: counters in shared memory, without locks, files or a server.

The module is imported before the workers are forked, so that all of them map the same pages. Each worker writes in its
own column only and sums over the columns of the others; a column whose process is gone is not counted. The truth of a
worker is in its own Counters; what stands here is a copy, so a lost column is simply written again.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

KINDS: Final = ("connection", "message", "recipient", "auth", "tls")

COLUMNS: Final = 128
"""Workers of all services and instances under one supervisor, those that drain after a reload included."""
ROWS: Final = 2048
"""Clients that a worker can tell of at once; those beyond count for themselves only. Memory is used when touched."""
PROBES: Final = 8
"""Rows that a client's entry may stand in."""

_COLUMN_HEAD: Final = struct.Struct("<QQ")  # process id, a guard against half-made claims
_ROW: Final = struct.Struct("<QId5I")  # key, connections, window start, events by KINDS
COLUMN_SIZE: Final = _COLUMN_HEAD.size + ROWS * _ROW.size

_memory: Final = mmap.mmap(-1, COLUMNS * COLUMN_SIZE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One client in one worker's eyes."""

    connections: int
    since: float
    """When the counting of events began, time.monotonic()."""
    events: tuple[int, ...]


def key_of(service: str, address: str) -> int:
    """A client of a service; anvil(8) counts by both."""
    return int.from_bytes(hashlib.blake2b(f"{service} {address}".encode(), digest_size=8).digest(), "little") or 1


class Board:
    """One worker's view."""

    def __init__(self, memory: mmap.mmap = _memory) -> None:
        self._memory = memory
        self._pid = os.getpid()
        self._base = -1

    def publish(self, key: int, entry: Entry) -> None:
        """Tell the others; an entry without connections and events makes room."""
        base = self._own_column()
        if base < 0:
            return
        free = -1
        for offset in _offsets(base, key):
            known = _ROW.unpack_from(self._memory, offset)
            if known[0] == key:
                free = offset
                break
            if free < 0 and (known[0] == 0 or (known[1] == 0 and known[2] + 3600 < entry.since)):
                free = offset
        if free < 0:
            return
        if entry.connections or any(entry.events):
            _ROW.pack_into(self._memory, free, key, entry.connections, entry.since, *entry.events)
        else:
            _ROW.pack_into(self._memory, free, 0, 0, 0.0, 0, 0, 0, 0, 0)

    def others(self, key: int) -> list[tuple[int, Entry]]:
        """What the other workers know of a client, with their process ids."""
        found = []
        for column in range(COLUMNS):
            base = column * COLUMN_SIZE
            pid = _COLUMN_HEAD.unpack_from(self._memory, base)[0]
            if pid == 0:
                break  # columns are claimed from the first on and never given back
            if pid == self._pid:
                continue
            for offset in _offsets(base, key):
                known = _ROW.unpack_from(self._memory, offset)
                if known[0] == key:
                    found.append((pid, Entry(known[1], known[2], known[3:])))
                    break
        return found

    def _own_column(self) -> int:
        """Where this worker writes. A claim that another worker has overwritten is made again elsewhere."""
        if self._base >= 0 and self._holder(self._base) == self._pid:
            return self._base
        for column in range(COLUMNS):
            base = column * COLUMN_SIZE
            holder = self._holder(base)
            if holder == 0 or not is_alive(holder):
                self._memory[base : base + COLUMN_SIZE] = bytes(COLUMN_SIZE)
                _COLUMN_HEAD.pack_into(self._memory, base, self._pid, self._pid)
                self._base = base
                return base
        self._base = -1
        return -1

    def _holder(self, base: int) -> int:
        pid: int = _COLUMN_HEAD.unpack_from(self._memory, base)[0]
        return pid


def _offsets(base: int, key: int) -> Iterator[int]:
    first = key % ROWS
    for probe in range(PROBES):
        yield base + _COLUMN_HEAD.size + (first + probe) % ROWS * _ROW.size


def is_alive(pid: int) -> bool:
    """Whether the process exists; one that may not be asked does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
