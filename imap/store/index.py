"""The rebuildable index of one mail location: an SQLite database beside the mail, shared by all processes.

What matters stands in the maildir: UIDs in `dovecot-uidlist`, flags in the file names, keywords in `dovecot-keywords`.
The index repeats it with mod-sequences, sizes and cached values, so that nothing has to be listed or opened again.
Write-ahead logging makes a kill at any instant harmless; a damaged file is thrown away and built anew.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from imap.store import filenames
from imap.store.errors import InUse, JailEscape
from imap.store.jail import Directory

log = logging.getLogger("dovecot.store")

NAME = "hardmail.index"
SCHEMA_VERSION = 4
BUSY_SECONDS = 20.0  # how long to wait for another process's transaction; each takes milliseconds

# Conditions that have an index of their own: a statement uses it where it says the same words.
UNSEEN = f"bits & {filenames.BIT_SEEN} = 0"
DELETED = f"bits & {filenames.BIT_DELETED} != 0"

_SCHEMA = f"""
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, inode INTEGER NOT NULL, guid TEXT NOT NULL,
    uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, first_recent INTEGER NOT NULL,
    modseq INTEGER NOT NULL, floor INTEGER NOT NULL,
    scanned TEXT NOT NULL, unsettled INTEGER NOT NULL, uidlist TEXT NOT NULL, keywords TEXT NOT NULL,
    in_new INTEGER NOT NULL);
CREATE TABLE message (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, file TEXT NOT NULL, extra TEXT NOT NULL,
    bits INTEGER NOT NULL, keywords TEXT NOT NULL, modseq INTEGER NOT NULL, size INTEGER, date INTEGER,
    PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE INDEX message_modseq ON message (mailbox, modseq);
CREATE INDEX message_unseen ON message (mailbox, uid) WHERE {UNSEEN};
CREATE INDEX message_deleted ON message (mailbox, uid) WHERE {DELETED};
CREATE TABLE expunged (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL, bits INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE INDEX expunged_modseq ON expunged (mailbox, modseq);
CREATE TABLE keyword (
    mailbox INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, seen INTEGER NOT NULL,
    PRIMARY KEY (mailbox, number)) WITHOUT ROWID;
CREATE TABLE cache (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (mailbox, uid, key)) WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
"""
_TABLES = ("mailbox", "message", "expunged", "keyword", "cache")


class Index:
    """One connection to the index of a location; `directory` is where it lies (None: in memory only)."""

    def __init__(self, directory: Directory | None) -> None:
        self._directory = directory
        self._inode = 0
        self._connection: sqlite3.Connection | None = self._open()

    @property
    def connection(self) -> sqlite3.Connection:
        """The database. Raises InUse."""
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def rest(self) -> None:
        """Close the database until it is needed: of a session that only waits it is the greater part (150 KiB)."""
        if self._directory is not None and self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._directory is None:
            connection = _connect(":memory:")
            connection.executescript(_SCHEMA)
            return connection
        with _one_at_a_time(self._directory):
            try:
                return self._open_file(self._directory)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and _is_busy(error):
                    raise InUse(reason=f"{self._directory.path}/{NAME}: {error}") from error
                self._discard(self._directory, str(error))
                return self._open_file(self._directory)

    def _open_file(self, directory: Directory) -> sqlite3.Connection:
        self._inode = _ensure(directory)
        # SQLite opens by path: the directory is named by its descriptor, so no component is looked up again. The
        # database itself was made or seen as a regular file above and is compared afterwards.
        connection = _connect(f"/proc/self/fd/{directory.fd}/{NAME}")
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            if _version(connection) != SCHEMA_VERSION:
                _build(connection)
            if directory.stat(NAME).st_ino != self._inode:
                raise JailEscape(reason=f"{directory.path}/{NAME} was exchanged while it was opened")
        except BaseException:
            connection.close()
            raise
        return connection

    def discard(self, reason: str) -> None:
        """Throw the database away; the next use builds it anew from the maildir."""
        if self._directory is not None:
            with _one_at_a_time(self._directory):
                self._discard(self._directory, reason)

    @staticmethod
    def _discard(directory: Directory, reason: str) -> None:
        log.error("%s/%s: rebuilding the index: %s", directory.path, NAME, reason)
        for name in (NAME, NAME + "-wal", NAME + "-shm"):
            directory.unlink(name, missing_ok=True)

    def refresh(self) -> None:
        """Open the database again if another process has thrown it away meanwhile."""
        if self._directory is None or self._connection is None:
            return
        try:
            same = self._directory.stat(NAME).st_ino == self._inode
        except FileNotFoundError:
            same = False
        if not same:
            self.rest()

    def changed(self) -> int:
        """When a file was last made or removed where the index lies (nanoseconds): it may be another one then."""
        return 0 if self._directory is None else os.fstat(self._directory.fd).st_mtime_ns

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One write transaction, which also serializes all changes of the maildir by our processes.

        Nested use joins the outer transaction. Raises InUse if the lock is not free in time.
        """
        if self.connection.in_transaction:
            yield self.connection
            return
        self.refresh()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise InUse(reason=f"index: {error}") from error
        try:
            yield self.connection
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


@contextmanager
def _one_at_a_time(directory: Directory) -> Iterator[None]:
    """Let one process at a time open or discard the index of a directory.

    SQLite gives up at once, its timeout notwithstanding, where two connections switch the same new file to write-ahead
    logging; and a log that outlived its database would be taken for that of the next one.
    """
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.fd)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


def _ensure(directory: Directory) -> int:
    """Make the database file if it is missing, refuse a link, return its inode number.

    An existing file is looked at, not opened: closing a descriptor would drop the locks that SQLite holds in this
    process.
    """
    with contextlib.suppress(FileExistsError):
        os.close(directory.open(NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    status = directory.stat(NAME)
    if not stat.S_ISREG(status.st_mode):
        raise JailEscape(reason=f"{directory.path}/{NAME} is no regular file")
    return status.st_ino


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _build(connection: sqlite3.Connection) -> None:
    """Make the tables, in one transaction; another process may have been faster."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) != SCHEMA_VERSION:
            for table in _TABLES:
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
