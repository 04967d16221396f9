"""Octets to lines, bounded and in linear time (RFC 1939 section 3; a bare LF ends a line too, as in Dovecot)."""

from __future__ import annotations

# A SASL response is the longest line (8 KiB base64 of a Kerberos ticket); commands have 255 octets (RFC 2449).
MAX_LINE = 8192


class LineTooLong(Exception):
    """A line exceeds MAX_LINE; it was thrown away and reading goes on behind it."""


class LineReader:
    """Sans-I/O: ``feed`` takes octets, ``next`` gives lines without their ends."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Take octets from the wire."""
        self._buffer += data

    def clear(self) -> int:
        """Forget what was fed; returns how many octets that was."""
        dropped = len(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        self._skipping = False
        return dropped

    @property
    def buffered(self) -> int:
        """Octets fed and not yet given out."""
        return len(self._buffer)

    def next(self) -> bytes | None:
        """The next line, None when more octets are needed. Raises LineTooLong once per such line."""
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > MAX_LINE:
                self._buffer.clear()
                self._scanned = 0
                if not self._skipping:
                    self._skipping = True
                    raise LineTooLong
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._scanned = 0
        if self._skipping:
            self._skipping = False
            return self.next()
        if len(line) > MAX_LINE:
            raise LineTooLong
        return line
