"""The right-hand side of an alias, and the lines of .forward and :include: files, taken apart (aliases(5)). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mta.address import address_list

INCLUDE: Final = ":include:"
MAX_DESTINATIONS: Final = 50_000


class TooMany(ValueError):
    """More destinations than any list has."""


def destinations(text: str) -> list[str]:
    """Destinations in internal form: `/file`, `~/file`, `|command`, `:include:/file`, or addresses. Raises TooMany."""
    found: list[str] = []
    for item in _items(text):
        bare = _unquoted(item)
        if bare.startswith(("|", "/", "~")) or bare.lower().startswith(INCLUDE):
            found.append(bare)
        else:
            found += address_list(item)
        if len(found) > MAX_DESTINATIONS:
            raise TooMany("too many destinations in one expansion")
    return found


def lines(text: str, limit: int) -> Iterator[str]:
    """The lines of a .forward or :include: file that are no comments; over-long ones come in pieces."""
    for line in text.splitlines():
        if not line.startswith("#"):
            for start in range(0, len(line), limit):
                yield line[start : start + limit]


def _items(text: str) -> Iterator[str]:
    """What stands between commas that are not quoted, not in a comment and not in angle brackets."""
    start, quoted, depth, angle = 0, False, 0, False
    i = 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 1
        elif quoted:
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == "(":
            depth += 1
        elif char == ")":
            depth = max(0, depth - 1)
        elif char in "<>":
            angle = char == "<"
        elif char == "," and not depth and not angle:
            yield text[start:i].strip()
            start = i + 1
        i += 1
    yield text[start:].strip()


def _unquoted(item: str) -> str:
    """`"|command arg"` and `|"command arg"` both mean the same; so does a backslash before any character."""
    out, i = [], 0
    while i < len(item):
        char = item[i]
        if char == "\\" and i + 1 < len(item):
            i += 1
            out.append(item[i])
        elif char != '"':
            out.append(char)
        i += 1
    return "".join(out)
