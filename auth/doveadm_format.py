"""The output formats of doveadm: table, tab, flow, pager and json (man doveadm, ``-f``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SCREEN = 80
"""Columns of a table; half of what is left of them goes to the column that expands."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its key in JSON ("" the heading), whether its numbers stand to the right in a table, and
    whether it takes the room that is left (the last one, if none does)."""

    heading: str
    key: str = ""
    right: bool = False
    expands: bool = False


Rows = Sequence[Sequence[str]]


def table(columns: Sequence[Column], rows: Rows) -> str:
    """Columns as wide as their widest text."""
    lines = [[column.heading for column in columns], *rows]
    widths = [max(map(len, texts)) for texts in zip(*lines, strict=True)]
    left = SCREEN - (sum(widths) + len(widths) - 1)
    expanding = next((index for index, column in enumerate(columns) if column.expands), len(columns) - 1)
    widths[expanding] += max(left, 0) // 2
    rules = [(">" if column.right else "<") + str(width) for column, width in zip(columns, widths, strict=True)]
    return "".join(" ".join(map(format, line, rules)) + "\n" for line in lines)


def tab(columns: Sequence[Column], rows: Rows) -> str:
    """Separated by tabs, headings first."""
    return "".join("\t".join(line) + "\n" for line in [[column.heading for column in columns], *rows])


def flow(columns: Sequence[Column], rows: Rows) -> str:
    """``heading=value`` words."""
    pairs = (zip(columns, row, strict=True) for row in rows)
    return "".join(" ".join(f"{column.heading}={value}" for column, value in row) + "\n" for row in pairs)


def pager(columns: Sequence[Column], rows: Rows) -> str:
    """``heading: value`` lines, records separated by form feeds."""
    pairs = (zip(columns, row, strict=True) for row in rows)
    return "\f\n".join("".join(f"{column.heading}: {value}\n" for column, value in row) for row in pairs)


def as_json(columns: Sequence[Column], rows: Rows) -> str:
    """A list of objects."""
    keys = [column.key or column.heading for column in columns]
    return json.dumps([dict(zip(keys, row, strict=True)) for row in rows], separators=(",", ":"))


FORMATTERS: dict[str, Callable[[Sequence[Column], Rows], str]] = {
    "flow": flow,
    "json": as_json,
    "pager": pager,
    "tab": tab,
    "table": table,
}
