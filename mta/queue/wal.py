"""SQLite's write-ahead log as a file: made durable, and moved into the database, while the event loop does other work.

A transaction with `synchronous = NORMAL` writes to the log and syncs nothing. Whoever has promised something calls
`sync` afterwards: one fdatasync(2) for all that any process has written so far. What SQLite itself does at a commit
with FULL is the same system call, but under the write lock and in the thread of the caller.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from mta.queue import layout, schema

logger = logging.getLogger("postfix.queue")

LONG_LOG: Final = 16 * 1024 * 1024
"""Octets that one process writes before the log's content moves into the database."""

ENDLESS_LOG: Final = 2 * LONG_LOG
"""Octets from which readers are waited for: SQLite begins the log anew only in a moment when nobody reads."""
READERS_PATIENCE: Final = 0.5
"""Seconds; who reads for longer is somebody's sqlite3 shell, and the next occasion will do."""


class WriteAheadLog:
    """The log of an open database. `sync` and `shorten` may be called in another thread, one at a time."""

    def __init__(self, database: Path, lock: Path) -> None:
        """The log must exist: a transaction was begun. Raises OSError."""
        self._database = database
        self._lock = lock
        self._suspect = False
        """A sync failed and was not made good."""
        self.written = 0
        """Octets, about, since it was last shortened; counted by whoever writes."""
        self._fd = os.open(f"{database}-wal", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        # SQLite would sync the name of a log that it made with the first sync of its own.
        layout.sync_directory(database.parent)

    def close(self) -> None:
        os.close(self._fd)

    def sync(self) -> None:
        """Make durable what was committed. Raises OSError or sqlite3.Error: then nobody knows what is on the disk."""
        try:
            if self._suspect:
                raise OSError("an earlier sync failed")
            os.fdatasync(self._fd)
        except OSError as error:
            self._suspect = True
            # The kernel reports a lost page once and then forgets it. Moving everything into the database writes it
            # again, and a log that begins anew has no gap that would hide what comes behind it after a power cut.
            logger.warning("%s-wal: %s", self._database, error)
            self._move("TRUNCATE")
            self._suspect = False

    def shorten(self) -> None:
        """Move the log's content into the database; the log then begins anew. A failure is only told.

        First without the lock, so that others write meanwhile; then what they wrote. SQLite alone would never end
        while there is always somebody who writes.
        """
        try:
            with contextlib.closing(schema.connect(self._database)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._move("PASSIVE")
            if os.fstat(self._fd).st_size > ENDLESS_LOG:
                self._move("TRUNCATE", patience=READERS_PATIENCE)
        except (OSError, sqlite3.Error) as error:
            logger.warning("%s: checkpoint: %s", self._database, error)

    def _move(self, mode: str, patience: float = schema.BUSY_SECONDS) -> None:
        """`patience`: seconds to wait for the end of what others read; meanwhile nobody writes."""
        with schema.locked(self._lock), contextlib.closing(schema.connect(self._database)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
            busy = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0]
        if busy and mode != "PASSIVE":
            raise OSError(f"{self._database}: checkpoint: the database is in use")
