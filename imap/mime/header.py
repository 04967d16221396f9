"""Header fields of a message, found one after the other by offset (RFC 5322 section 2.2), however broken they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

# Longer values are cut when they are interpreted (never when they are shown raw): no honest field comes near it,
# and it bounds what one field can cost.
MAX_VALUE = 1 << 20

_LINE_END = re.compile(rb"\r?\n")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_PLAIN_NAME = re.compile(rb"[!-9;-~]+")
# What follows the name: a colon or, as for any line without one, the end of the line; then the value with its folds.
_REST = rb"(?:[ \t]*(?P<colon>:)|\r*(?=\n|\Z))[^\n]*+(?:\n[ \t][^\n]*+)*\n?"


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


@lru_cache(maxsize=256)
def name_pattern(names: frozenset[bytes]) -> re.Pattern[bytes] | None:
    """Matches every field with one of ``names`` (any case); None where one of them is no field name."""
    if not names or not all(map(_PLAIN_NAME.fullmatch, names)):
        return None
    lower = sorted({name.lower() for name in names}, key=lambda name: (name[:1], name))
    # By first letter: a line of another field costs one look at one octet.
    firsts = sorted({name[:1] for name in lower})
    one_of = b"|".join(
        re.escape(first) + b"(?:" + b"|".join(re.escape(name[1:]) for name in lower if name[:1] == first) + b")"
        for first in firsts
    )
    ahead = b"^(?=[" + b"".join(map(re.escape, firsts)) + b"])"
    return re.compile(ahead + b"(?P<name>" + one_of + b")" + _REST, re.IGNORECASE | re.MULTILINE)


def named(message: bytes, names: Iterable[bytes], start: int, stop: int) -> Iterator[Field]:
    """As :func:`fields`, but only those with one of ``names`` (lower case), and the other lines go by at C speed.

    ``start`` is the beginning of a line; ``stop`` is not behind the end of the header.
    """
    wanted = frozenset(names)
    pattern = name_pattern(wanted)
    if pattern is None:
        yield from (found for found in fields(message, start, stop) if found.name.lower() in wanted)
        return
    for found in pattern.finditer(message, start, stop):
        value = found.end("colon")
        if value < 0:
            value = message.find(b"\n", found.start(), stop) + 1 or stop
        yield Field(found["name"], found.start(), value, found.end())


def header_end(message: bytes, start: int, stop: int | None = None) -> int:
    """The offset behind the blank line that ends the header at ``start`` (``stop`` when there is none)."""
    stop = len(message) if stop is None else stop
    if message.startswith((b"\n", b"\r\n"), start, stop):
        return message.index(b"\n", start) + 1
    found = _BLANK_LINE.search(message, start, stop)
    return stop if found is None else found.end()


def folded(message: bytes, field: Field) -> bytes:
    """The value without the white space before it and the line end behind it, folds kept."""
    value = message[field.value : min(field.end, field.value + MAX_VALUE)].removesuffix(b"\n").removesuffix(b"\r")
    return value.lstrip(b" \t") or value[1:]


def unfold(message: bytes, field: Field) -> bytes:
    """The value on one line: as :func:`folded`, line ends removed."""
    return _LINE_END.sub(b"", folded(message, field))
