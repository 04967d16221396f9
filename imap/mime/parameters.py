"""Content-Type and Content-Disposition: value and parameters (RFC 2045 section 5.1, continuations of RFC 2231)."""

from __future__ import annotations

import re
from typing import NamedTuple

from imap.mime.rfc822 import Cursor

Parameters = tuple[tuple[bytes, bytes], ...]

# More parameters than this are not looked at: bounds the work and memory that one field can ask for.
MAX_PARAMETERS = 256

_CONTINUED = re.compile(rb"([^*]+)\*(?:(\d{1,4})(\*)?)?", re.DOTALL)
_UNQUOTED_WORD = re.compile(rb"[^; \t\r\n]+")


class ContentType(NamedTuple):
    """A media type as written (case kept); ``subtype`` is empty where it is missing."""

    type: bytes
    subtype: bytes
    parameters: Parameters


_UNREADABLE = ContentType(b"", b"", ())


def content_type(value: bytes) -> ContentType:
    """Read a Content-Type value; type and subtype are empty where they cannot be read."""
    cursor = Cursor(value)
    cursor.skip_white()
    major = cursor.token()
    cursor.skip_white()
    if major.lower() == b"multipart" and not cursor.more():
        return ContentType(b"application", b"octet-stream", ())
    if major and not cursor.more():
        return ContentType(major, b"", ())
    if not major or cursor.peek() != 0x2F:
        return _UNREADABLE
    cursor.position += 1
    cursor.skip_white()
    minor = cursor.token()
    cursor.skip_white()
    if not minor or cursor.broken or cursor.peek() not in (0, 0x3B):
        return _UNREADABLE
    return ContentType(major, minor, parameters(cursor))


def disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """Read a Content-Disposition value (RFC 2183); None for one in a comment that never ends."""
    cursor = Cursor(value)
    cursor.skip_white()
    kind = cursor.token()
    cursor.skip_white()
    return None if cursor.broken else (kind, parameters(cursor))


def parameters(cursor: Cursor) -> Parameters:
    """Every ``; name=value`` from the cursor on; joined RFC 2231 pieces (``name`` or ``name*``) follow the others."""
    plain: list[tuple[bytes, bytes]] = []
    pieces: dict[bytes, list[tuple[int, bool, bytes]]] = {}
    count = 0
    while cursor.more() and count < MAX_PARAMETERS:
        pair = _parameter(cursor)
        if pair is None:
            cursor.position += 1
            continue
        count += 1
        name, value = pair
        continued = _CONTINUED.fullmatch(name)
        if continued is None:
            plain.append(pair)
        elif continued[2] is None:
            pieces.setdefault(continued[1], []).append((0, True, value))
        else:
            pieces.setdefault(continued[1], []).append((int(continued[2]), continued[3] is not None, value))
    for name in sorted(pieces, key=bytes.lower):
        plain.extend(_joined(name, sorted(pieces[name], key=lambda piece: piece[0])))
    return tuple(plain)


def _joined(name: bytes, pieces: list[tuple[int, bool, bytes]]) -> list[tuple[bytes, bytes]]:
    """Join the pieces numbered 0, 1, 2 ... ; where one is missing or doubled they all keep their own names."""
    starred = any(extended for _, extended, _ in pieces)
    if [number for number, _, _ in pieces] == list(range(len(pieces))):
        return [(name + b"*" if starred else name, b"".join(value for _, _, value in pieces))]
    return [(name + b"*%d" % number + (b"*" if extended else b""), value) for number, extended, value in pieces]


def _parameter(cursor: Cursor) -> tuple[bytes, bytes] | None:
    """One ``; name=value``; None, the cursor where it broke, otherwise."""
    if cursor.peek() != 0x3B:
        return None
    cursor.position += 1
    cursor.skip_white()
    name = cursor.token()
    cursor.skip_white()
    if cursor.peek() != 0x3D:
        return None
    cursor.position += 1
    cursor.skip_white()
    value: bytes | None
    if cursor.peek() == 0x22:
        value = cursor.quoted_string()
        if value is None:
            return None
    elif cursor.peek() == 0x3D:
        # name==?utf-8?b?...?= : an encoded word where none may stand, common enough to be kept as it is.
        found = _UNQUOTED_WORD.match(cursor.data, cursor.position)
        assert found
        value = found.group()
        cursor.position = found.end()
    else:
        value = cursor.token()
    cursor.skip_white()
    return name, value
