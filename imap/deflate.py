"""Raw DEFLATE in both directions of a connection (COMPRESS, RFC 4978). Sans-I/O; what is inflated comes in pieces."""

from __future__ import annotations

import zlib

# Octets that one step inflates: a few octets of the peer can stand for a thousand times as many.
PIECE = 64 << 10
# More than this waiting behind a command, and nothing more is inflated until it is answered.
MAX_WAITING = 1 << 20


class Deflate:
    """The state of both directions."""

    def __init__(self) -> None:
        self._out = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._in = zlib.decompressobj(-zlib.MAX_WBITS)
        self._waiting = b""

    def compress(self, data: bytes) -> bytes:
        """What goes out for ``data``, complete."""
        return self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def feed(self, data: bytes) -> None:
        """Take octets from the peer."""
        self._waiting += data

    def next(self) -> bytes:
        """The next piece, empty when more octets must come first. Raises zlib.error."""
        piece = self._in.decompress(self._waiting, PIECE)
        self._waiting = self._in.unconsumed_tail
        return piece
