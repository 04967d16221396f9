"""The bytes that a client has sent and nobody has read yet; hands out command lines of bounded length. Sans-I/O."""

from __future__ import annotations


class InputBuffer:
    """A queue of octets with a line reader on top.

    A line ends at a line feed; carriage returns before it do not belong to it (smtpd(8) has always read so). What a
    line has beyond `limit` octets is dropped as it arrives, so a client cannot make the buffer grow by never ending
    a line: smtpd(8) then acts on the part that it kept.
    """

    __slots__ = ("_data", "_searched", "_skipping", "bare_newline")

    def __init__(self) -> None:
        self._data = bytearray()
        self._searched = 0
        self._skipping: bytes | None = None
        self.bare_newline = False
        """Whether the line read last ended in a line feed alone."""

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def feed(self, octets: bytes) -> None:
        self._data += octets

    def clear(self) -> int:
        """Forget everything (a TLS handshake begins); tells how many octets were dropped."""
        dropped = len(self._data)
        self._data.clear()
        self._searched = 0
        self._skipping = None
        return dropped

    def peek(self, count: int) -> bytes:
        """The first octets, which stay where they are."""
        return bytes(self._data[:count])

    def take_all(self) -> bytes:
        octets = bytes(self._data)
        self._data.clear()
        self._searched = 0
        return octets

    def take(self, count: int) -> bytes:
        """At most `count` octets."""
        octets = bytes(self._data[:count])
        del self._data[:count]
        self._searched = 0
        return octets

    def put_back(self, octets: bytes) -> None:
        """What a content reader did not use comes before what arrived since."""
        self._data[:0] = octets
        self._searched = 0

    def has_line(self) -> bool:
        return self._data.find(b"\n", self._searched) >= 0

    def line(self, limit: int) -> bytes | None:
        """The next line without its end, or None while it has not ended."""
        data = self._data
        end = data.find(b"\n", self._searched)
        if end < 0:
            if self._skipping is not None:
                data.clear()
            elif len(data) > limit:
                self._skipping = bytes(data[:limit])
                data.clear()
            self._searched = len(data)
            return None
        self._searched = 0
        if self._skipping is not None:
            kept, self._skipping = self._skipping, None
            del data[: end + 1]
            return kept
        line = bytes(data[:end])
        del data[: end + 1]
        self.bare_newline = not line.endswith(b"\r")
        return line.rstrip(b"\r")[:limit]
