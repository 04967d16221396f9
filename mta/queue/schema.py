"""The database file: its tables, its version, and how it is opened, checked and, if torn, set aside."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mta.queue import layout
from mta.queue.errors import ForeignQueue, typed
from mta.queue.salvage import salvage

logger = logging.getLogger("postfix.queue")

VERSION: Final = 1
APPLICATION_ID: Final = 0x68_6D_71_75
"""`hmqu`: tells our database from anyone else's (PRAGMA application_id)."""

FIRST_NUMBER: Final = 0x40000
"""First number for queue ids; not 0, so that short ids have the usual length."""

BUSY_SECONDS: Final = 30.0
"""How long SQLite waits for a foreign writer (our own wait in flock); a sqlite3 shell left in a transaction, say."""

LARGE_DATABASE: Final = 64 * 1024 * 1024
"""Octets from which a database whose messages are gone is worth the trouble."""

# A text of the wire (sender, address, original, orcpt, reason) is a BLOB if it is not UTF-8: see texts.py.
TABLES: Final = """
CREATE TABLE messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,     -- order of arrival; a reader asks for what is newer than the last
    queue_id TEXT NOT NULL UNIQUE,
    queue TEXT NOT NULL,                            -- incoming, deferred, hold
    sender TEXT NOT NULL,
    arrival REAL NOT NULL,                          -- seconds since the epoch
    size INTEGER NOT NULL,                          -- octets
    next_attempt REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    warned INTEGER NOT NULL DEFAULT 0,
    recipient_count INTEGER NOT NULL,
    envelope TEXT NOT NULL,                         -- JSON: ret, envid, body, smtputf8, filter, attributes
    checksum INTEGER NOT NULL                       -- CRC-32 of the content: a torn body is found, not sent
);
CREATE INDEX messages_due ON messages (next_attempt) WHERE queue = 'deferred';
CREATE TABLE contents (
    sequence INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);
CREATE TABLE recipients (
    sequence INTEGER NOT NULL,
    position INTEGER NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',               -- '' waits; bounced, delivered ...: to be told to the sender
    address TEXT NOT NULL,
    original TEXT NOT NULL,
    orcpt TEXT NOT NULL,
    notify INTEGER NOT NULL,
    dsn TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    record TEXT NOT NULL DEFAULT '',                -- JSON: more of the last attempt
    PRIMARY KEY (sequence, position)
) WITHOUT ROWID;
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
"""

CASCADE: Final = """
CREATE TEMP TRIGGER IF NOT EXISTS removal AFTER DELETE ON main.messages BEGIN
    DELETE FROM contents WHERE sequence = OLD.sequence;
    DELETE FROM recipients WHERE sequence = OLD.sequence;
END
"""
"""For connections that write: what belongs to a message goes with it."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection with our settings; the caller begins and ends transactions itself."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock file exclusively; yields its descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, layout.FILE_MODE)
    try:
        layout.give_to_owner(fd, path.parent)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def ensure(directory: Path) -> Path:
    """Make the database if there is none, check it if there is; returns its path.

    What is torn or not ours goes to corrupt/ with a line in the log, and a fresh database takes its place.
    Raises ForeignQueue if a newer hardmail made it, QueueError (QueueFull) if it cannot be read or made at all.
    """
    path = directory / layout.DATABASE
    try:
        with locked(directory / layout.WRITE_LOCK):
            fault = _fault(path)
            if fault:
                _replace(directory, path, fault)
            elif not path.exists():
                _create(path)
    except (OSError, sqlite3.Error) as error:
        raise typed(error, path) from error
    return path


def repair(directory: Path, fault: str) -> None:
    """Set the database aside while it is in use, and go on with what can be read of it.

    Other processes notice that another file stands in its place (Writer, Reader) and open that. Raises QueueError.
    """
    path = directory / layout.DATABASE
    try:
        with locked(directory / layout.WRITE_LOCK):
            _replace(directory, path, fault)
    except (OSError, sqlite3.Error) as error:
        raise typed(error, path) from error


def compact(directory: Path) -> bool:
    """Give the room of a large database back to the file system if nothing is in it. Raises OSError, sqlite3.Error."""
    path = directory / layout.DATABASE
    if path.stat().st_size < LARGE_DATABASE:
        return False
    with locked(directory / layout.WRITE_LOCK), contextlib.closing(connect(path)) as connection:
        if connection.execute("SELECT 1 FROM messages LIMIT 1").fetchone() is not None:
            return False
        # There is nothing to copy; and no other directory may be written to.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True


def _replace(directory: Path, path: Path, fault: str) -> None:
    damaged = set_aside(directory, path, fault)
    _create(path, damaged)


def _fault(path: Path) -> str:
    """Why the file cannot be used; empty if it can or does not exist."""
    if not path.exists():
        return ""
    if path.stat().st_size == 0:
        return "empty file"
    try:
        with contextlib.closing(connect(path)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            application = int(connection.execute("PRAGMA application_id").fetchone()[0])
            if application != APPLICATION_ID:
                return "not a hardmail queue"
            if version > VERSION:
                raise ForeignQueue(f"{path}: version {version} is newer than this program's {VERSION}")
            # Reads the root of each table: enough to see a torn file, and quick with 100,000 messages.
            for table in ("messages", "contents", "recipients", "counters"):
                connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()  # noqa: S608
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
            raise  # locked, no permission, no space: not the file's fault
        return str(error)
    return ""


def _create(path: Path, damaged: Path | None = None) -> None:
    # Made under another name, so that a crash never leaves half a database under the real one.
    fresh = path.with_name(path.name + ".new")
    for leftover in (fresh, *(Path(f"{fresh}{suffix}") for suffix in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    # SQLite gives its -wal and -shm files the mode of the database.
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, layout.FILE_MODE)
    layout.give_to_owner(fd, path.parent)
    os.close(fd)
    with contextlib.closing(connect(fresh)) as connection:
        connection.executescript(f"BEGIN; {TABLES} COMMIT;")
        connection.execute("INSERT INTO counters VALUES ('number', ?)", (FIRST_NUMBER,))
        # PRAGMA takes no parameters; the values are constants of this file.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        if damaged is not None:
            salvage(damaged, connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    fresh.rename(path)
    layout.sync_directory(path.parent)


def set_aside(directory: Path, path: Path, fault: str) -> Path:
    """Move a file (with SQLite's files beside it) to corrupt/ and say so; returns where it is now."""
    corrupt = directory / layout.CORRUPT
    corrupt.mkdir(mode=layout.DIRECTORY_MODE, exist_ok=True)
    target = corrupt / f"{path.name}.{time.time_ns():x}"
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
    layout.sync_directory(corrupt)
    logger.warning("%s: %s -- saved as %s", path, fault, target)
    return target
