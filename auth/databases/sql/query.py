"""SQL queries of dovecot-sql.conf.ext: what a user's variables say is bound as a value and never becomes SQL text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from auth import variables
from auth.databases.base import BadArguments

# String literals. Standard SQL doubles the quote; MySQL also escapes with backslashes and takes double quotes.
_STANDARD = re.compile(r"'(?:[^']|'')*'")
_MYSQL = re.compile(r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*\"""", re.DOTALL)
_BACKSLASH = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


@dataclass(frozen=True, slots=True)
class Bind:
    """A place in the query for a value: the template that makes it."""

    template: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query in pieces: SQL text, and places for values.

    A literal with variables in it (``'%n@%d'``) is one value, and so is a variable outside of quotes.
    """

    parts: tuple[str | Bind, ...]

    @classmethod
    def parse(cls, template: str, *, mysql: bool = False, updates: bool = False) -> Query:
        """Cut a ``*_query`` setting into its pieces; ``updates``: it stores a password. Raises BadArguments."""
        if not updates and {"w", "password"} & set(variables.names(template)):
            raise BadArguments("sql: a query may not contain the password (%w): return the stored one instead")
        return cls(tuple(_parts(template, _MYSQL if mysql else _STANDARD, mysql=mysql)))

    def values(self, expand: Callable[[str], str]) -> list[str]:
        """The values of one request, in order."""
        return [expand(part.template) for part in self.parts if isinstance(part, Bind)]

    def text(self, place: Callable[[int], str]) -> str:
        """The SQL text with ``place(n)`` for the n-th value (from 1)."""
        pieces, number = [], 0
        for part in self.parts:
            if isinstance(part, Bind):
                number += 1
                pieces.append(place(number))
            else:
                pieces.append(part)
        return "".join(pieces)


def _parts(template: str, literal: re.Pattern[str], *, mysql: bool) -> Iterator[str | Bind]:
    at = 0
    for match in literal.finditer(template):
        yield from _bare(template[at : match.start()])
        inner = _unquoted(match[0], mysql=mysql)
        yield Bind(inner) if "%" in inner else match[0]
        at = match.end()
    yield from _bare(template[at:])


def _bare(text: str) -> Iterator[str | Bind]:
    """Text outside of quotes: each variable in it is a value."""
    at = 0
    for match in variables.VARIABLE.finditer(text):
        yield text[at : match.start()]
        yield "%" if match[0] == "%%" else Bind(match[0])
        at = match.end()
    yield text[at:]


def _unquoted(literal: str, *, mysql: bool) -> str:
    """The text that a string literal stands for."""
    quote, inner = literal[0], literal[1:-1]
    if not mysql:
        return inner.replace(2 * quote, quote)
    return re.sub(
        rf"{quote}{quote}|\\(.)",
        lambda match: _BACKSLASH.get(match[1], match[1]) if match[1] else quote,
        inner,
        flags=re.DOTALL,
    )
