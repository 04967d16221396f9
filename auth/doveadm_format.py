"""The output formats of doveadm: table, tab, flow, pager and json (man doveadm, ``-f``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its key in JSON ("" the heading), the least width in a table."""

    heading: str
    key: str = ""
    width: int = 0


Rows = Sequence[Sequence[str]]


def table(columns: Sequence[Column], rows: Rows) -> str:
    """Columns as wide as their widest text."""
    widths = [
        max(column.width, len(column.heading), *(len(row[index]) for row in rows), 0)
        for index, column in enumerate(columns)
    ]
    lines = [[column.heading for column in columns], *rows]
    texts = (" ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(f"{text}\n" for text in texts)


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
