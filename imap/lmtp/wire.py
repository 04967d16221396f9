"""Input of an LMTP connection: command lines, dot-stuffed data, chunks; bounded, and strict about where mail ends."""

import asyncio

_CHUNK = 1 << 16
END = b"\r\n.\r\n"


class LineTooLong(Exception):
    """A line above the limit; it was read to its end and thrown away."""


class ConnectionClosed(Exception):
    """The client has gone."""


class DotReader:
    """Finds the end of mail data: CR LF "." CR LF and nothing else (RFC 5321 section 4.1.1.4, CVE-2023-51764).

    A lone LF or CR is part of the mail; a line that only looks like the end stays inside one message. Octets above
    `limit` are thrown away while the end is looked for; then `too_large` is set.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The line end that stands before the first line, so that an immediate "." is the end, too.
        self._data = bytearray(b"\r\n")
        self.too_large = False

    def feed(self, data: bytes) -> bytes | None:
        """Take input; returns None while the end has not come, else the octets that follow it."""
        start = max(0, len(self._data) - len(END) + 1)
        self._data += data
        end = self._data.find(END, start)
        if end >= 0:
            rest = bytes(self._data[end + len(END) :])
            del self._data[end + 2 :]
            self.too_large = self.too_large or len(self._data) - 2 > self._limit
            return rest
        if len(self._data) - 2 > self._limit + len(END):
            self.too_large = True
            del self._data[: -len(END)]
        return None

    def message(self) -> bytes:
        """The mail, without the dots that the client has put before leading dots."""
        return bytes(self._data).replace(b"\r\n.", b"\r\n")[2:]


class Wire:
    """A stream reader with a buffer of its own, so that what follows a line or a mail is kept for the next command."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    async def _more(self) -> bytes:
        data = await self._reader.read(_CHUNK)
        if not data:
            raise ConnectionClosed()
        return data

    async def line(self, limit: int) -> bytes:
        """A line without its end. Raises LineTooLong, ConnectionClosed."""
        searched = 0
        too_long = False
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit:
                too_long = True
                self._buffer.clear()
                searched = 0
            self._buffer += await self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if too_long or len(line) > limit:
            raise LineTooLong()
        return line.removesuffix(b"\r")

    async def dot_data(self, limit: int) -> bytes | None:
        """Mail data up to its end; None if it is larger than `limit`. Raises ConnectionClosed."""
        dots = DotReader(limit)
        rest = dots.feed(self._take())
        while rest is None:
            rest = dots.feed(await self._more())
        self._buffer += rest
        return None if dots.too_large else dots.message()

    async def chunk(self, size: int, keep: int) -> bytes:
        """`size` octets of a BDAT chunk, of which at most `keep` are returned. Raises ConnectionClosed."""
        kept = bytearray()
        while size:
            if not self._buffer:
                self._buffer += await self._more()
            part = self._buffer[:size]
            del self._buffer[:size]
            size -= len(part)
            kept += part[: max(0, keep - len(kept))]
        return bytes(kept)

    def _take(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def drop(self) -> int:
        """Throw away what was read ahead (plaintext behind STARTTLS); returns how much."""
        return len(self._take())
