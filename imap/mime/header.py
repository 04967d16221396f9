"""Header fields of a message, found one after the other by offset (RFC 5322 section 2.2), however broken they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# Longer values are cut when they are interpreted (never when they are shown raw): no honest field comes near it,
# and it bounds what one field can cost.
MAX_VALUE = 1 << 20

_LINE_END = re.compile(rb"\r?\n")


class Field(NamedTuple):
    """One header field: ``name`` as written, and offsets into the message.

    ``start`` is where the name begins, ``value`` where the text after the colon begins, ``end`` is behind the line
    end of the last continuation line. A line without a colon is a field whose whole line is the name.
    """

    name: bytes
    start: int
    value: int
    end: int


def fields(message: bytes, start: int, stop: int | None = None) -> Iterator[Field]:
    """Yield the fields from ``start`` up to the blank line (not yielded) or ``stop``; see :func:`header_end`."""
    stop = len(message) if stop is None else stop
    position = start
    find = message.find
    while position < stop:
        line_end = find(b"\n", position, stop) + 1 or stop
        if message[position:line_end] in (b"\n", b"\r\n"):
            return
        end = line_end
        while end < stop and message[end] in b" \t" and message[end - 1] == 10:
            end = find(b"\n", end, stop) + 1 or stop
        colon = find(b":", position, line_end)
        if colon < 0:
            yield Field(message[position:line_end].rstrip(b"\r\n"), position, line_end, end)
        else:
            yield Field(message[position:colon].rstrip(b" \t"), position, colon + 1, end)
        position = end


def header_end(message: bytes, start: int, stop: int | None = None) -> int:
    """The offset behind the blank line that ends the header at ``start`` (``stop`` when there is none)."""
    stop = len(message) if stop is None else stop
    if message.startswith((b"\n", b"\r\n"), start, stop):
        return message.index(b"\n", start) + 1
    position = start
    while True:
        position = message.find(b"\n", position, stop) + 1
        if not position:
            return stop
        if message.startswith(b"\n", position, stop):
            return position + 1
        if message.startswith(b"\r\n", position, stop):
            return position + 2


def folded(message: bytes, field: Field) -> bytes:
    """The value without the white space before it and the line end behind it, folds kept; NUL made U+FFFD."""
    value = message[field.value : min(field.end, field.value + MAX_VALUE)].removesuffix(b"\n").removesuffix(b"\r")
    return (value.lstrip(b" \t") or value[1:]).replace(b"\0", b"\xef\xbf\xbd")


def unfold(message: bytes, field: Field) -> bytes:
    """The value on one line: as :func:`folded`, line ends removed."""
    return _LINE_END.sub(b"", folded(message, field))
