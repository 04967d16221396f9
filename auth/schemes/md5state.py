"""MD5 with its inner state in the open (RFC 1321): CRAM-MD5 contexts store the state after the key's block."""

from __future__ import annotations

import math
import struct

_INITIAL = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_SINES = [int(abs(math.sin(n + 1)) * 2**32) & 0xFFFFFFFF for n in range(64)]
_SHIFTS = [shift for row in ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21)) for shift in row * 4]
BLOCK = 64
"""Octets MD5 takes in at once; also the length of an HMAC-MD5 key block (RFC 2104)."""


def compress(state: bytes, block: bytes) -> bytes:
    """The 16-octet state after one 64-octet block (RFC 1321 section 3.4)."""
    start = struct.unpack("<4I", state)
    words = struct.unpack("<16I", block)
    a, b, c, d = start
    for n in range(64):
        if n < 16:
            mixed, index = (b & c) | (~b & d), n
        elif n < 32:
            mixed, index = (d & b) | (~d & c), (5 * n + 1) % 16
        elif n < 48:
            mixed, index = b ^ c ^ d, (3 * n + 5) % 16
        else:
            mixed, index = c ^ (b | (~d & 0xFFFFFFFF)), (7 * n) % 16
        total = (a + mixed + _SINES[n] + words[index]) & 0xFFFFFFFF
        shift = _SHIFTS[n]
        a, d, c = d, c, b
        b = (b + ((total << shift | total >> (32 - shift)) & 0xFFFFFFFF)) & 0xFFFFFFFF
    return struct.pack("<4I", *((x + y) & 0xFFFFFFFF for x, y in zip(start, (a, b, c, d), strict=True)))


def initial() -> bytes:
    """The state before any block."""
    return struct.pack("<4I", *_INITIAL)


def finish(state: bytes, taken: int, rest: bytes) -> bytes:
    """The digest of a message: ``taken`` octets (whole blocks) led to ``state``, ``rest`` is still to come."""
    length = taken + len(rest)
    padded = rest + b"\x80" + bytes(-(len(rest) + 9) % BLOCK) + struct.pack("<Q", length * 8 & (2**64 - 1))
    for start in range(0, len(padded), BLOCK):
        state = compress(state, padded[start : start + BLOCK])
    return state
