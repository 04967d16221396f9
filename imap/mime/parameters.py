"""Content-Type and Content-Disposition: value and parameters (RFC 2045 section 5.1, continuations of RFC 2231)."""

from __future__ import annotations

import re
from itertools import groupby
from typing import NamedTuple

from imap.mime.rfc822 import Cursor

Parameters = tuple[tuple[bytes, bytes], ...]

# More parameters than this are not looked at: bounds the work and memory that one field can ask for.
MAX_PARAMETERS = 256

_CONTINUED = re.compile(rb"(?P<name>[^*]*)\*(?:\*|(?P<number>\d{1,4})(?P<star>\*)?)?", re.DOTALL)
_UNQUOTED_WORD = re.compile(rb"[^; \t\r\n]+")


class ContentType(NamedTuple):
    """A media type as written (case kept); ``subtype`` is empty where it is missing."""

    type: bytes
    subtype: bytes
    parameters: Parameters

    @property
    def charset(self) -> str | None:
        """The character set that is named first."""
        return next((value.decode("latin-1") for name, value in self.parameters if name.lower() == b"charset"), None)


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
    pieces: list[_Piece] = []
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
        else:
            number = continued["number"]
            extended = number is None or continued["star"] is not None
            pieces.append(_Piece(continued["name"], int(number or 0), extended, value))
    pieces.sort(key=lambda piece: piece[:2])
    for _, group in groupby(pieces, key=lambda piece: piece.name.lower()):
        plain += _joined(list(group))
    return tuple(plain)


class _Piece(NamedTuple):
    """A part of a value (RFC 2231 section 3), in a character set of its own if ``extended`` (section 4)."""

    name: bytes
    number: int
    extended: bool
    value: bytes


def _joined(pieces: list[_Piece]) -> list[tuple[bytes, bytes]]:
    """Join the pieces numbered 0, 1, 2 ... ; where one is missing or doubled they all keep their own names."""
    if [piece.number for piece in pieces] != list(range(len(pieces))):
        return [(piece.name + b"*%d" % piece.number + b"*" * piece.extended, piece.value) for piece in pieces]
    name, values = pieces[0].name, [piece.value for piece in pieces]
    if not any(piece.extended for piece in pieces):
        return [(name, b"".join(values))]
    # What was not extended is made so: no character set, and the escape character escaped.
    values = [piece.value if piece.extended else piece.value.replace(b"%", b"%25") for piece in pieces]
    return [(name + b"*", (b"" if pieces[0].extended else b"''") + b"".join(values))]


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
