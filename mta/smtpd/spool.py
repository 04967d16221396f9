"""Content while it arrives: a little of it in memory, the rest in a file without a name.

How long a client takes is its own affair, and many may take long at a time: what they have sent so far must not be held
in memory, or a hundred slow senders of large mail are a denial of service. Whole contents are in memory only while they
are worked on, WHOLE_AT_ONCE of the large ones at a time in a process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO, Final

MEMORY_OCTETS: Final = 1024 * 1024
"""Octets of one content that are held in memory while it arrives."""

WHOLE_AT_ONCE: Final = 8
"""Contents beyond MEMORY_OCTETS that a process works on at a time: a few times message_size_limit each."""


class Spool:
    """Octets in the order of their arrival. A write that fails is told by `read`: the client is still talking."""

    __slots__ = ("_directory", "_failure", "_file", "_memory", "_parts", "size")

    def __init__(self, directory: Path | None = None, memory: int = MEMORY_OCTETS) -> None:
        """`directory`: where the file goes; None: the system's place for temporary files."""
        self._directory = directory
        self._memory = memory
        self._parts = bytearray()
        self._file: IO[bytes] | None = None
        self._failure: OSError | None = None
        self.size = 0
        """Octets written."""

    def write(self, octets: bytes) -> None:
        """Put octets behind those that are there."""
        self.size += len(octets)
        if self._failure is not None:
            return
        self._parts += octets
        if len(self._parts) > self._memory:
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115 - kept open
                _write_all(self._file, self._parts)
            except OSError as error:
                self._failure = error
            self._parts.clear()

    def read(self) -> bytes:
        """Everything. Raises OSError where it could not be kept."""
        if self._failure is not None:
            raise self._failure
        if self._file is None:
            return bytes(self._parts)
        self._file.seek(0)
        return self._file.read() + self._parts

    def clear(self) -> None:
        """Forget everything."""
        self._parts.clear()
        self.size = 0
        if self._file is not None:
            self._file.close()
            self._file = None


def _write_all(file: IO[bytes], octets: bytearray) -> None:
    with memoryview(octets) as view:
        written = 0
        while written < len(view):
            written += file.write(view[written:])
