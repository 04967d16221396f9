"""The text of hosts.allow and hosts.deny as rules: lines, continuation, comments, fields (hosts_access(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from auth.tcpwrap.options import Option, OptionError, parse_options, split_fields
from auth.tcpwrap.patterns import complaint

LINE_LIMIT: Final = 2046
"""Characters of a line with its continuation lines, without its end (libwrap's BUFLEN)."""

_SEPARATORS: Final = re.compile(r"[, \t\r\n]+")
_BLANK: Final = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a table, or that it asks for and does not get."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: who is asked for (`daemons`), who asks (`clients`), and what else is to be done."""

    line: int
    daemons: tuple[str, ...]
    """Patterns, with EXCEPT among them as it was written."""
    clients: tuple[str, ...]
    options: tuple[Option, ...] = ()
    error: str = ""
    """What is wrong with the options: libwrap refuses whom such a rule matches."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rules of one file, in order, and what is to be said about it."""

    file: str = ""
    rules: tuple[Rule, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: int = 0
    """The line that is too long or has no end: reading stops there, and as hosts.deny the table refuses the rest."""


def parse(text: str, file: str = "") -> Table:
    """A table. Bad lines are left out and told in `problems`, as libwrap logs and ignores them. Never raises."""
    rules: list[Rule] = []
    problems: list[Problem] = []
    for number, line, ended in _lines(text):
        if len(line) > LINE_LIMIT or not ended:
            wrong = "missing newline" if not ended else f"line longer than {LINE_LIMIT} characters"
            text = f"{wrong}: nothing is read from here on, and hosts.deny refuses everybody"
            return Table(file, tuple(rules), (*problems, Problem(file, number, text)), broken=number)
        if line.startswith("#") or not line.strip(_BLANK):
            continue
        rule, texts = _rule(line, number)
        if rule is not None:
            rules.append(rule)
        problems += (Problem(file, number, each) for each in texts)
    return Table(file, tuple(rules), tuple(problems))


def _lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Logical lines with the number of their first physical line, and whether they end as lines do.

    A backslash before the line end joins two, in comments too.
    """
    start, parts = 0, list[str]()
    *whole, last = text.split("\n")
    for number, line in enumerate(whole, 1):
        start = start or number
        if line.endswith("\\"):
            parts.append(line[:-1])
            continue
        yield start, "".join(parts) + line, True
        start, parts = 0, []
    if rest := "".join(parts) + last:
        yield start or len(whole) + 1, rest, False


def _rule(line: str, number: int) -> tuple[Rule | None, list[str]]:
    fields = _split(line)
    if len(fields) < 2:
        return None, ['missing ":" separator; the line is ignored']
    daemons, clients = (tuple(filter(None, _SEPARATORS.split(field))) for field in fields[:2])
    texts = [text for word in daemons + clients if (text := complaint(word))]
    if not daemons or not clients:
        texts.append("an empty list matches nobody")
    if len(fields) == 2:
        return Rule(number, daemons, clients), texts
    try:
        options = parse_options(split_fields(fields[2]))
    except OptionError as error:
        return Rule(number, daemons, clients, error=str(error)), [*texts, f"{error}; the rule refuses whom it matches"]
    return Rule(number, daemons, clients, options), texts + [each.warning for each in options if each.warning]


def _split(line: str) -> list[str]:
    """Daemons, clients and, if there are any, options; the colons of an IPv6 address in brackets do not part them."""
    fields: list[str] = []
    depth = start = 0
    for position, character in enumerate(line):
        if character == "[":
            depth = 1
        elif character == "]":
            depth = 0
        elif character == ":" and not depth:
            fields.append(line[start:position])
            start = position + 1
            if len(fields) == 2:
                break
    return [*fields, line[start:]]
