"""Rows of the index: a mailbox's state, messages on their way into it, flags as bits and names."""

import functools
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

from imap.store import filenames
from imap.store.types import SYSTEM_FLAGS


@dataclass(slots=True)
class Row:
    """A row of the table `mailbox`."""

    id: int
    name: str
    inode: int
    guid: str
    uidvalidity: int
    uidnext: int
    first_recent: int
    modseq: int
    floor: int
    scanned: str
    unsettled: int
    uidlist: str
    keywords: str
    in_new: int


_COLUMNS = ", ".join(field.name for field in fields(Row))
_ASSIGN = ", ".join(f"{field.name} = ?" for field in fields(Row)[1:])


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message file that has its final name but no UID yet."""

    file: str
    bits: int
    keywords: str
    extra: str = ""
    size: int | None = None
    date: int | None = None


def load(connection: sqlite3.Connection, name: str) -> Row | None:
    """The row of a mailbox by its disk name."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM mailbox WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return None if found is None else Row(*found)


def load_by_id(connection: sqlite3.Connection, row_id: int) -> Row | None:
    """The row of a mailbox that may have been renamed meanwhile."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM mailbox WHERE id = ?", (row_id,)).fetchone()  # noqa: S608
    return None if found is None else Row(*found)


def insert(connection: sqlite3.Connection, row: Row) -> Row:
    """Add a new row; its id is filled in."""
    marks = ", ".join("?" * len(fields(Row)))
    cursor = connection.execute(
        f"INSERT INTO mailbox ({_COLUMNS}) VALUES ({marks})",  # noqa: S608
        (None, *astuple(row)[1:]),
    )
    assert cursor.lastrowid is not None
    row.id = cursor.lastrowid
    return row


def save(connection: sqlite3.Connection, row: Row) -> None:
    """Write the row back."""
    connection.execute(f"UPDATE mailbox SET {_ASSIGN} WHERE id = ?", (*astuple(row)[1:], row.id))  # noqa: S608


def drop(connection: sqlite3.Connection, row_id: int) -> None:
    """Forget a mailbox."""
    for table in ("message", "expunged", "keyword", "cache"):
        connection.execute(f"DELETE FROM {table} WHERE mailbox = ?", (row_id,))  # noqa: S608
    connection.execute("DELETE FROM mailbox WHERE id = ?", (row_id,))


@functools.lru_cache(maxsize=4096)
def flag_set(flag_bits: int, words: str) -> frozenset[str]:
    """The flags of a message row as names; shared between messages with the same flags."""
    return frozenset([flag for flag in SYSTEM_FLAGS if filenames.BIT_OF[flag] & flag_bits] + words.split())


def split_flags(flags: Iterable[str]) -> tuple[int, list[str]]:
    """(system flag bits, keywords) of flag names; \\Recent and unknown system flags are left out."""
    flag_bits = 0
    words: list[str] = []
    system = {name.casefold(): bit for name, bit in filenames.BIT_OF.items()}
    for flag in flags:
        if flag.startswith("\\"):
            flag_bits |= system.get(flag.casefold(), 0)
        elif flag.casefold() not in {word.casefold() for word in words}:
            words.append(flag)
    return flag_bits, words


def base_of(file: str) -> str:
    """The base name of "cur/BASE:2,FLAGS"."""
    return file[4:].partition(":")[0]
