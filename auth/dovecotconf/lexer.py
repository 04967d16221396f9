"""Lines of dovecot.conf: comments, continuation lines, quoting, and what each line is (doc/wiki ConfigFile)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_WHITE = " \t"


class BadLine(ValueError):
    """A line that is neither a setting nor a block; the text is Dovecot's."""


@dataclass(frozen=True, slots=True)
class Assign:
    """``key = value``; ``form`` tells bare words (``$`` expands), a quoted text, or the name of a file (``<``)."""

    key: str
    value: str
    form: Literal["bare", "quoted", "file"]


@dataclass(frozen=True, slots=True)
class Begin:
    """``kind name {``; the name may be empty."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class End:
    """``}``."""


@dataclass(frozen=True, slots=True)
class Include:
    """``!include`` or ``!include_try`` with a file name or glob pattern."""

    pattern: str
    optional: bool


Token = Assign | Begin | End | Include


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line, continuations joined and comments gone; ``number`` is that of its last part (from 1)."""

    number: int
    text: str
    ambiguous: bool = False


def logical_lines(text: str) -> Iterator[Line]:
    """Yield the lines that say something; blank and comment lines between continued ones do not end them."""
    pending = ""
    ambiguous = False
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r").lstrip(_WHITE)
        if not line or line.startswith("#"):
            continue
        line, glued = _strip_comment(line)
        ambiguous = ambiguous or glued
        line = line.rstrip(_WHITE)
        if line.endswith("\\"):
            pending += line[:-1].rstrip(_WHITE) + " "
            continue
        yield Line(number, pending + line, ambiguous)
        pending, ambiguous = "", False


def _strip_comment(line: str) -> tuple[str, bool]:
    """Cut ``# ...`` outside quotes; the flag tells that no white space stood before it."""
    quote = ""
    skip = False
    for position, char in enumerate(line):
        if skip:
            skip = False
        elif quote:
            if char == "\\":
                skip = True
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "#":
            return line[:position], line[position - 1] not in _WHITE
    return line, False


def parse(line: str) -> Token:
    """What the line is. Raises BadLine."""
    end = next((n for n, char in enumerate(line) if char in " \t="), len(line))
    key, rest = line[:end], line[end:].lstrip(_WHITE)
    if key in ("!include", "!include_try"):
        return Include(rest, key == "!include_try")
    if rest.startswith("="):
        if not key:
            raise BadLine("Missing key name ('=' at the beginning of line)")
        return _assign(key, rest[1:].lstrip(_WHITE))
    if key == "}" and not rest:
        return End()
    return _begin(key, rest)


def _assign(key: str, value: str) -> Assign:
    if value.startswith("<"):
        return Assign(key, value[1:].lstrip(_WHITE), "file")
    if len(value) >= 2 and value[0] in "'\"" and value[-1] == value[0]:
        return Assign(key, unescape(value[1:-1]), "quoted")
    return Assign(key, value, "bare")


def _begin(kind: str, rest: str) -> Begin:
    name = ""
    if rest.startswith('"'):
        end = _closing_quote(rest)
        name, rest = unescape(rest[1:end]), rest[end + 1 :].lstrip(_WHITE)
    elif not rest.startswith("{"):
        name, _, rest = rest.replace("\t", " ").partition(" ")
        rest = rest.lstrip(_WHITE)
    if not rest.startswith("{"):
        raise BadLine("Expecting '{'")
    if rest != "{":
        raise BadLine("Garbage after '{'")
    return Begin(kind, name)


def _closing_quote(text: str) -> int:
    position = 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == '"':
            return position
        position += 1
    raise BadLine("Unterminated quotes")


def unescape(text: str) -> str:
    """Remove the backslash before each escaped character."""
    parts = []
    chars = iter(text)
    for char in chars:
        parts.append(next(chars, "\\") if char == "\\" else char)
    return "".join(parts)
