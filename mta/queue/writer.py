"""Group commit: one thread per process that writes, in one transaction, all that arrived during the last sync."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mta.queue import layout, schema
from mta.queue.changes import Change
from mta.queue.errors import QueueError, QueueFull, QueueRefused

logger = logging.getLogger("postfix.queue")

MAX_BATCH: Final = 500
"""Changes in one transaction: bounds the time that other processes wait for the write lock."""

WAL_PAGES: Final = 4000
"""Size of the write-ahead log (pages of 4 KiB) at which its content moves into the database."""


@dataclass(slots=True)
class _Job:
    change: Change
    done: Callable[[BaseException | None], None]
    error: BaseException | None = field(default=None)
    committed: bool = False


class Writer:
    """Owns the only writing connection of the process. Safe to call from any thread."""

    def __init__(
        self, directory: Path, database: Path, after_commit: Callable[[], None], on_death: Callable[[], None]
    ) -> None:
        """`after_commit` and `on_death` (nothing can be written any more) are called in the writer's thread."""
        self._directory = directory
        self._database = database
        self._after_commit = after_commit
        self._on_death = on_death
        self._dead = False
        self._jobs: list[_Job] = []
        self._wake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._file = 0
        """Inode of the database that the connection is to."""
        self._synchronous = "FULL"
        self._lock_fd = -1

    async def write(self, change: Change) -> None:
        """Returns when the change is committed (and durable if it asks for it); raises QueueError or QueueFull."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def done(error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed while the disk worked: nobody waits any more
                loop.call_soon_threadsafe(_settle, waiter, error)

        self.submit(change, done)
        # A session that is cancelled while the disk works must not undo what may be durable already.
        await asyncio.shield(waiter)

    def write_blocking(self, change: Change) -> None:
        waiter: Future[None] = Future()
        self.submit(change, lambda error: waiter.set_exception(error) if error else waiter.set_result(None))
        waiter.result()

    def submit(self, change: Change, done: Callable[[BaseException | None], None]) -> None:
        """Write at the next occasion; `done` is called in the writer's thread."""
        with self._wake:
            if self._closing:
                raise QueueError("the queue is closed")
            if self._dead:
                raise QueueError("the queue's writer has failed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="queue writer", daemon=True)
                self._thread.start()
            self._jobs.append(_Job(change, done))
            self._wake.notify()

    def close(self) -> None:
        """Write what was submitted, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _run(self) -> None:
        batch: list[_Job] = []
        try:
            while self._take(batch):
                self._write_batch(batch)
                if any(job.committed and job.change.durable for job in batch):
                    self._after_commit()
                while batch:
                    job = batch[0]
                    if job.committed:
                        job.change.finished()
                    del batch[0]
                    job.done(job.error)
        except BaseException as error:
            logger.critical("the queue's writer has failed", exc_info=error)
            self._die(batch)

    def _take(self, batch: list[_Job]) -> bool:
        """Wait for jobs and move them to the batch; False when there will be no more."""
        with self._wake:
            while not self._jobs and not self._closing:
                self._wake.wait()
            batch[:], self._jobs = self._jobs[:MAX_BATCH], self._jobs[MAX_BATCH:]
        return bool(batch)

    def _die(self, batch: Sequence[_Job]) -> None:
        """A fault of the program: nobody may wait for ever. What was committed is told as such."""
        with self._wake:
            self._dead = True
            waiting, self._jobs = [*batch, *self._jobs], []
        for job in waiting:
            try:
                job.done(None if job.committed else job.error or QueueError("the queue's writer has failed"))
            except Exception:
                logger.exception("cannot tell that the queue's writer has failed")
        self._on_death()

    def _write_batch(self, batch: Sequence[_Job]) -> None:
        staged = []
        for job in batch:
            try:
                job.change.stage()
            except Exception as error:
                # Whatever is wrong with one change, even by a mistake of ours, must not stop the others.
                _blame(job, error)
            else:
                staged.append(job)
        if not staged:
            return
        try:
            self._commit(staged)
        except Exception as error:
            self._recover(staged, error)

    def _recover(self, batch: Sequence[_Job], error: Exception) -> None:
        """After a failed transaction: find the change that is to blame, unless the disk is."""
        if len(batch) > 1 and not _disk_is_to_blame(error):
            for job in batch:
                try:
                    self._commit([job])
                except Exception as own:
                    self._recover([job], own)
            return
        logger.error("%s: %s", self._database, error)
        for job in batch:
            _blame(job, error)

    def _commit(self, batch: Sequence[_Job]) -> None:
        self._open_lock()
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        try:
            connection = self._open()
            self._set_synchronous("FULL" if any(job.change.durable for job in batch) else "NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                for job in batch:
                    job.change.apply(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        for job in batch:
            job.committed = True

    def _open_lock(self) -> None:
        if self._lock_fd < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock_fd = os.open(self._directory / layout.WRITE_LOCK, flags, layout.FILE_MODE)

    def _open(self) -> sqlite3.Connection:
        """The connection. Under the lock: a database that was replaced (schema.repair) is never written to again."""
        file = self._database.stat().st_ino
        if self._connection is not None and file != self._file:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection, self._file = schema.connect(self._database), file
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
            self._synchronous = "FULL"
        return self._connection

    def _set_synchronous(self, mode: str) -> None:
        if mode != self._synchronous and self._connection is not None:
            self._connection.execute(f"PRAGMA synchronous = {mode}")
            self._synchronous = mode


def _settle(waiter: asyncio.Future[None], error: BaseException | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
        waiter.exception()  # a session that went away does not fetch it: no "never retrieved" in the log


_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def end_process() -> None:
    """For `Queue.on_failure` of a service: sessions end politely, and the supervisor starts a new process."""
    os.kill(os.getpid(), signal.SIGTERM)


def _blame(job: _Job, error: Exception) -> None:
    job.error = _typed(error)
    job.change.undo()


def _disk_is_to_blame(error: Exception) -> bool:
    if isinstance(error, OSError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, without SQLite's details
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_BUSY)


def _typed(error: Exception) -> QueueError:
    if isinstance(error, QueueError):
        return error
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return QueueFull(str(error))
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return QueueFull(str(error))
    if isinstance(error, ValueError | TypeError | OverflowError | sqlite3.DataError):
        return QueueRefused(f"{type(error).__name__}: {error}")
    return QueueError(str(error) or type(error).__name__)
