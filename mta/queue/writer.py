"""Group commit: what arrives while the disk works is the next transaction, and one sync serves all of it."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import logging
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final, NoReturn

from mta.queue import layout, schema
from mta.queue.changes import Change
from mta.queue.disk import Disk
from mta.queue.errors import QueueError, typed
from mta.queue.wal import LONG_LOG, WriteAheadLog

logger = logging.getLogger("postfix.queue")

MAX_BATCH: Final = 500
"""Changes in one transaction: bounds the time that clients and other processes wait for it."""

LINGER: Final = 0.005
"""Seconds in which changes gather that nobody was promised: after a crash, deliveries of so long are repeated."""

GATHER: Final = 0.003
"""Seconds between the beginnings of two transactions where several changes come at once: to begin and to end one costs
as much as five mails in it. A client that is alone does not wait."""

PATIENCE: Final = 0.012
"""The same at most where we know who is talking to us, and until all of them wait: then nobody else can come."""

LOCK_PAUSE: Final = 0.001
"""Seconds until the next look whether another process has ended its transaction."""


@dataclass(slots=True)
class _Job:
    change: Change
    done: Callable[[BaseException | None], None]
    error: BaseException | None = field(default=None)


class _Locked(Exception):
    """Another process is in a transaction."""


class Writer:
    """Owns the only writing connection of the process; to be called in one thread.

    The way of a batch: the disk's thread stages files, the event loop commits rows (in microseconds, as nothing is
    synced), and the disk's thread makes the log durable.
    """

    def __init__(
        self, directory: Path, database: Path, after_commit: Callable[[], None], on_death: Callable[[], None]
    ) -> None:
        """`after_commit`: promised changes are durable. `on_death`: nothing can be written any more."""
        self._lock_file = directory / layout.WRITE_LOCK
        self._database = database
        self._name = str(database)
        self._after_commit = after_commit
        self._on_death = on_death
        self._jobs: list[_Job] = []
        self._batch: list[_Job] = []
        """What the disk or the lock is waited for with."""
        self._committed = False
        """Whether the rows of that batch are in the log."""
        self._timer: asyncio.Handle | None = None
        self._eager = False
        """Whether somebody waits for what the timer is set for."""
        self._began = -inf
        self._together = 0
        """Changes in the last batch."""
        self.talking: set[object] = set()
        """Who came or said something since the last batch began, and so may soon want something written."""
        self._locked_since = 0.0
        self._disk = Disk()
        self._closed = self._dead = False
        self._connection: sqlite3.Connection | None = None
        self._log: WriteAheadLog | None = None
        self._file = 0
        """Inode of the database that the connection is to."""
        self._lock_fd = -1

    # --- what callers want -----------------------------------------------------------------------------------------

    async def write(self, change: Change) -> None:
        """Returns when the change is committed, and durable if it asks for it; raises QueueError or QueueFull.

        To cancel the caller does not undo what may be durable already.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.submit(change, functools.partial(_settle, waiter))
        await waiter

    def submit(self, change: Change, done: Callable[[BaseException | None], None]) -> None:
        """Write at the next occasion; `done` is called in the event loop."""
        self._check()
        self._jobs.append(_Job(change, done))
        if not self._batch and (self._timer is None or (change.durable and not (self._eager and self._pause))):
            self._schedule(eager=change.durable)

    def write_blocking(self, change: Change) -> None:
        """`write` for a program without an event loop."""
        self._check()
        job = _Job(change, lambda _: None)
        self._pass_through([job])
        if job.error is not None:
            raise job.error

    def close(self) -> None:
        """Write what was submitted, then let go of the files."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._disk.close()
        if self._batch:
            self._pass_through(self._take_batch(), staged=True, committed=self._committed)
        while self._jobs:
            jobs, self._jobs = self._jobs[:MAX_BATCH], self._jobs[MAX_BATCH:]
            self._pass_through(jobs)
        self._disconnect()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)

    def _check(self) -> None:
        if self._closed:
            raise QueueError("the queue is closed")
        if self._dead:
            raise QueueError("the queue's writer has failed")

    # --- the way of a batch ----------------------------------------------------------------------------------------

    def _schedule(self, *, eager: bool) -> None:
        """Begin a batch soon, if somebody waits for one of its changes as soon as others had time to join it."""
        if self._timer is not None:
            self._timer.cancel()
        self._eager = eager
        loop = asyncio.get_running_loop()
        at = self._began + self._pause
        if not eager:
            self._timer = loop.call_later(LINGER, self._begin)
        elif self._together > 1 and loop.time() < at:
            self._timer = loop.call_at(at, self._begin)
        else:
            self._timer = loop.call_soon(self._begin)

    @property
    def _pause(self) -> float:
        """Seconds from the beginning of the last batch to that of the next, if several changes come at once."""
        if not self.talking:
            return GATHER
        return PATIENCE if len(self._jobs) < len(self.talking) else 0.0

    def _begin(self) -> None:
        self._timer = None
        self._batch, self._jobs = self._jobs[:MAX_BATCH], self._jobs[MAX_BATCH:]
        self._began, self._together = asyncio.get_running_loop().time(), len(self._batch)
        self._committed = False
        self.talking.clear()
        if any(job.change.has_file for job in self._batch):
            self._disk.do(functools.partial(_stage, self._batch), self._staged)
        else:
            self._staged(None)

    def _staged(self, _: Exception | None) -> None:
        if self._closed:
            return None
        self._timer = None
        try:
            self._commit_all(self._batch)
        except _Locked:
            self._timer = asyncio.get_running_loop().call_later(LOCK_PAUSE, self._staged, None)
            return None
        except Exception as fault:
            return self._die(self._take_batch(), fault)
        self._committed = True
        if any(job.change.durable or job.change.has_file for job in self._batch):
            self._disk.do(functools.partial(self._settle_on_disk, self._batch), self._end)
        else:
            self._end(None)
        return None

    def _settle_on_disk(self, batch: Sequence[_Job]) -> None:
        """Keep the promise, then tidy up. Raises OSError or sqlite3.Error."""
        good = [job for job in batch if job.error is None]
        if self._log is not None and any(job.change.durable for job in good):
            self._log.sync()
        for job in good:
            job.change.finished()

    def _end(self, error: Exception | None) -> None:
        if self._closed:
            return
        self._tell(self._take_batch(), error)
        if self._log is not None and self._log.written >= LONG_LOG:
            self._log.written = 0
            self._disk.do(self._log.shorten, lambda _: None)
        if self._jobs and self._timer is None:
            self._schedule(eager=any(job.change.durable for job in self._jobs))

    def _take_batch(self) -> list[_Job]:
        batch, self._batch = self._batch, []
        return batch

    def _tell(self, batch: Sequence[_Job], error: Exception | None) -> None:
        """Tell the callers. An error here is one after the commit: the rows are there, the promise is not."""
        if error is not None:
            return self._die(batch, error)
        if any(job.error is None and job.change.durable for job in batch):
            self._after_commit()
        for job in batch:
            job.done(job.error)
        return None

    def _die(self, batch: Sequence[_Job], error: Exception) -> None:
        """The disk cannot sync, or the program is at fault: nobody may wait for ever, or be told that all is well."""
        logger.critical("the queue's writer has failed", exc_info=error)
        self._dead = True
        waiting, self._jobs = [*batch, *self._jobs], []
        for job in waiting:
            job.error = job.error or QueueError("the queue's writer has failed")
            try:
                job.done(job.error)
            except Exception:
                logger.exception("cannot tell that the queue's writer has failed")
        self._on_death()

    def _pass_through(self, batch: list[_Job], *, staged: bool = False, committed: bool = False) -> None:
        """All of it at once, in the caller's thread."""
        if not staged:
            _stage(batch)
        while not committed:
            try:
                self._commit_all(batch)
                committed = True
            except _Locked:
                time.sleep(LOCK_PAUSE)
        try:
            self._settle_on_disk(batch)
        except Exception as error:
            self._tell(batch, error)
        else:
            self._tell(batch, None)
            if self._log is not None and self._log.written >= LONG_LOG:
                self._log.written = 0
                self._log.shorten()

    # --- transactions ----------------------------------------------------------------------------------------------

    def _commit_all(self, batch: Sequence[_Job]) -> None:
        """One transaction for all, or, if one of them is at fault, one for each. Raises _Locked."""
        good = [job for job in batch if job.error is None]
        if not good:
            return
        try:
            self._commit(good)
        except _Locked:
            raise
        except Exception as error:
            self._recover(good, error)

    def _recover(self, batch: Sequence[_Job], error: Exception) -> None:
        """After a failed transaction: find the change that is to blame, unless the disk is."""
        if len(batch) > 1 and not _disk_is_to_blame(error):
            for job in batch:
                self._commit_alone(job)
            return
        logger.error("%s: %s", self._database, error)
        for job in batch:
            _blame(job, error)

    def _commit_alone(self, job: _Job) -> None:
        while True:
            try:
                return self._commit([job])
            except _Locked:
                time.sleep(LOCK_PAUSE)
            except Exception as error:
                return self._recover([job], error)

    def _commit(self, batch: Sequence[_Job]) -> None:
        self._lock()
        try:
            connection = self._connect()
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                self._give_way(error)
            self._locked_since = 0.0
            try:
                self._log = self._log or WriteAheadLog(self._database, self._lock_file)
                for job in batch:
                    job.change.apply(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._log.written += sum(job.change.octets for job in batch)
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _lock(self) -> None:
        if self._lock_fd < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock_fd = os.open(self._lock_file, flags, layout.FILE_MODE)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._give_way(error)

    def _give_way(self, error: Exception) -> NoReturn:
        """Raises _Locked, and the error itself where another writer stays for longer than any transaction takes."""
        now = time.monotonic()
        self._locked_since = self._locked_since or now
        if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise error
        if now - self._locked_since > schema.BUSY_SECONDS:
            self._locked_since = 0.0
            raise error
        raise _Locked from None

    def _connect(self) -> sqlite3.Connection:
        """The connection. Under the lock: a database that was replaced (schema.repair) is never written to again."""
        file = os.stat(self._name).st_ino  # noqa: PTH116 - asked for each transaction
        if self._connection is not None and file != self._file:
            self._disconnect()
        if self._connection is None:
            self._connection, self._file = schema.connect(self._database), file
            for setting in ("busy_timeout = 0", "synchronous = NORMAL", "wal_autocheckpoint = 0"):
                self._connection.execute(f"PRAGMA {setting}")
            self._connection.execute(schema.CASCADE)
        return self._connection

    def _disconnect(self) -> None:
        self._disk.close()
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _stage(batch: Sequence[_Job]) -> None:
    """Whatever is wrong with one change, even by a mistake of ours, must not stop the others."""
    for job in batch:
        try:
            job.change.stage()
        except Exception as error:
            _blame(job, error)


def _settle(waiter: asyncio.Future[None], error: BaseException | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
        waiter.exception()  # a session that went away does not fetch it: no "never retrieved" in the log


def end_process() -> None:
    """For `Queue.on_failure` of a service: sessions end politely, and the supervisor starts a new process."""
    os.kill(os.getpid(), signal.SIGTERM)


def _blame(job: _Job, error: Exception) -> None:
    job.error = typed(error)
    job.change.undo()


def _disk_is_to_blame(error: Exception) -> bool:
    if isinstance(error, OSError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, without SQLite's details
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_BUSY)
