"""Takes what can still be read out of a damaged database into a fresh one, row by row."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger("postfix.queue")

TABLES: Final = ("messages", "contents", "recipients")
MAX_GUESSES: Final = 1_000_000
"""Sequences tried one by one where the list of them cannot be read."""
SAFETY: Final = 1_000_000
"""How far new sequences start behind the highest that was seen: rows that were lost had numbers too, and a reader that
stands behind them must not miss new mail."""


def salvage(damaged: Path, fresh: sqlite3.Connection) -> int:
    """Copy every message that can be read, with its sequence; returns how many. Damage is logged, never raised."""
    try:
        with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as old:
            return _copy(old, fresh)
    except sqlite3.DatabaseError as error:
        logger.warning("%s: nothing can be recovered: %s", damaged, error)
        return 0


def _copy(old: sqlite3.Connection, fresh: sqlite3.Connection) -> int:
    saved = lost = 0
    highest = _number(old, "SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
    # Ids of messages that were lost must not be given again either: time runs ahead of any counter.
    number = max(_number(old, "SELECT value FROM counters WHERE name = 'number'"), int(time.time()))
    fresh.execute("BEGIN IMMEDIATE")
    for sequence in _sequences(old, highest):
        highest = max(highest, sequence)
        try:
            rows = {table: _rows(old, table, sequence) for table in TABLES}
        except sqlite3.DatabaseError:
            lost += 1
            continue
        if rows["messages"] and rows["recipients"]:
            for table in TABLES:
                _insert(fresh, table, rows[table])
            saved += 1
    fresh.execute("UPDATE counters SET value = ? WHERE name = 'number'", (number + 1,))
    fresh.execute("DELETE FROM sqlite_sequence WHERE name = 'messages'")
    fresh.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', ?)", (highest + SAFETY,))
    fresh.execute("COMMIT")
    logger.warning("queue database: %d messages recovered, %d could not be read", saved, lost)
    return saved


def _sequences(old: sqlite3.Connection, highest: int) -> Iterator[int]:
    last = 0
    try:
        for row in old.execute("SELECT sequence FROM messages ORDER BY sequence"):
            last = int(row[0])
            yield last
    except sqlite3.DatabaseError:
        yield from range(last + 1, min(max(highest, last) + 1, last + MAX_GUESSES))


def _rows(old: sqlite3.Connection, table: str, sequence: int) -> list[tuple[Any, ...]]:
    return old.execute(f"SELECT * FROM {table} WHERE sequence = ?", (sequence,)).fetchall()  # noqa: S608


def _insert(fresh: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        marks = ",".join("?" * len(rows[0]))
        fresh.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows)  # noqa: S608


def _number(old: sqlite3.Connection, sql: str) -> int:
    with contextlib.suppress(sqlite3.DatabaseError):
        row = old.execute(sql).fetchone()
        if row is not None and isinstance(row[0], int):
            return row[0]
    return 0
