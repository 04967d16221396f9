"""The queue of messages over SQLite: put, read, change, remove."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mta.clock import clock_of
from mta.queue import layout, schema
from mta.queue.changes import Change, Put, Remove, Sequel, TakeNumbers
from mta.queue.errors import QueueError, QueueFull
from mta.queue.ids import IdFactory
from mta.queue.message import NewMessage, QueuedMessage, QueuedRecipient, QueueName
from mta.queue.reading import Deferred, Reader
from mta.queue.wakeup import Wakeup
from mta.queue.writer import Writer

if TYPE_CHECKING:
    from mta.config import MainConfig

logger = logging.getLogger("postfix.queue")

LARGE_BODY: Final = 128 * 1024
"""Octets from which a content is a file of its own: SQLite writes every octet twice (log, then database)."""

MIN_LARGE_BODY: Final = 16 * 1024
"""Smaller contents are never looked for among the files; `large_body` cannot be set lower."""

SPACE_FACTOR: Final = 1.5
"""Free space must exceed this many messages of message_size_limit, as smtpd(8) wants it."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Parameters of main.cf that concern the queue."""

    long_ids: bool = False
    """enable_long_queue_ids"""
    minfree: int = 0
    """queue_minfree: octets that must stay free in the file system; 0 is no limit of its own."""
    message_size_limit: int = 10_240_000
    """Octets; 0 is no limit."""
    large_body: int = LARGE_BODY


class Queue:
    """One process's access to the queue directory. Open it after the fork; several processes may have it open."""

    def __init__(self, directory: Path, options: QueueOptions, clock: Callable[[], float]) -> None:
        """Use `open`."""
        self.directory = directory
        self.options = options
        self._clock = clock
        self._wakeup = Wakeup(directory)
        database = schema.ensure(directory)
        self._writer = Writer(directory, database, after_commit=self._new_mail, on_death=self._failed)
        self._reader = Reader(database, directory / layout.BODIES)
        self._ids = IdFactory(self._take_numbers, options.long_ids)
        self.on_new_mail: Callable[[], None] | None = None
        """The queue manager's process sets this instead of waking itself by the socket."""
        self.on_failure: Callable[[], None] | None = None
        """Called when nothing can be written any more by a fault of the program, after every caller
        got his QueueError: a service should end (writer.end_process), a tool has its error."""

    @classmethod
    def open(
        cls,
        queue_directory: Path | str,
        options: QueueOptions | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> Queue:
        """Open the queue, making what is missing of it. `clock` gives arrival times, in seconds since the epoch.

        Raises QueueError if the directory cannot be used, ForeignQueue if a newer hardmail owns it.
        """
        directory = Path(queue_directory)
        try:
            if not (directory / layout.BODIES).is_dir() or not (directory / layout.MAILDROP).is_dir():
                layout.prepare(directory)
        except OSError as error:
            raise QueueError(str(error)) from error
        return cls(directory, options or QueueOptions(), clock)

    @classmethod
    def from_config(cls, config: MainConfig, *, clock: Callable[[], float] | None = None) -> Queue:
        """Open the queue that main.cf names, with its clock unless another is given."""
        options = QueueOptions(
            long_ids=config.bool("enable_long_queue_ids"),
            minfree=config.int("queue_minfree"),
            message_size_limit=config.int("message_size_limit"),
        )
        return cls.open(config.str("queue_directory"), options, clock=clock or clock_of(config))

    @property
    def talking(self) -> set[object]:
        """Clients that may soon put a message: at each word they are added here, and share a transaction then."""
        return self._writer.talking

    def now(self) -> float:
        """The time by the queue's clock."""
        return self._clock()

    def close(self) -> None:
        """Write what was submitted, then let go of the files."""
        self._writer.close()
        self._reader.close()
        self._wakeup.close()

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- accepting -------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """A queue id that was never used in this queue. Raises QueueError if the database cannot be written."""
        return self._ids.new_id()

    def check_space(self, size: int = 0) -> None:
        """Raise QueueFull if the file system has no room for a message of `size` octets (0: not known)."""
        try:
            status = os.statvfs(self.directory)
        except OSError as error:
            raise QueueError(str(error)) from error
        free = status.f_bavail * status.f_frsize
        if free <= self.options.minfree:
            raise QueueFull(f"{free} octets free, queue_minfree is {self.options.minfree}")
        if free <= SPACE_FACTOR * max(size, self.options.message_size_limit):
            raise QueueFull(f"{free} octets free, message_size_limit is {self.options.message_size_limit}")

    async def put(self, message: NewMessage) -> str:
        """Keep a message; returns its queue id once it is durable. Raises QueueError: nothing was kept."""
        change = self._put(message)
        await self._writer.write(change)
        return message.queue_id

    def put_blocking(self, message: NewMessage) -> str:
        """`put` for a program without an event loop."""
        change = self._put(message)
        self._writer.write_blocking(change)
        return message.queue_id

    def _put(self, message: NewMessage) -> Put:
        if not message.recipients:
            raise QueueError("a message without recipients")
        if not message.queue_id:
            message.queue_id = self.new_id()
        large = len(message.content) >= max(self.options.large_body, MIN_LARGE_BODY)
        return Put(message, self._clock(), self.directory / layout.BODIES if large else None)

    def _take_numbers(self, count: int) -> int:
        change = TakeNumbers(count)
        self._writer.write_blocking(change)
        return change.first

    def _new_mail(self) -> None:
        if self.on_new_mail is not None:
            self.on_new_mail()
        else:
            self._wakeup.send()

    def _failed(self) -> None:
        if self.on_failure is not None:
            self.on_failure()

    # --- reading ---------------------------------------------------------------------------------------------------

    def arrivals(self, after: int, limit: int) -> list[QueuedMessage]:
        """Incoming messages whose sequence is greater than `after`, oldest first; many recipients are left unread."""
        return self._reader.arrivals(after, limit)

    def due(self, now: float, after: tuple[float, int], limit: int) -> list[Deferred]:
        """Deferred messages with next_attempt <= now, longest due first, beyond `after` (next_attempt, sequence)."""
        return self._reader.due(now, after, limit)

    def deferred(self, after: int, limit: int, domain: str | None = None) -> list[Deferred]:
        """Deferred messages (with a recipient of that domain) whose sequence is greater than `after`, oldest first."""
        return self._reader.deferred(after, limit, domain)

    def read(self, sequences: Sequence[int]) -> list[QueuedMessage]:
        """These messages in this order, as far as they are still deferred; many recipients are left unread."""
        return self._reader.read(sequences)

    def next_due(self) -> float | None:
        """Time of the earliest next attempt among deferred messages."""
        return self._reader.next_due()

    def messages(self, queue: QueueName | None = None) -> Iterator[QueuedMessage]:
        """All messages (of one queue), oldest first, read in portions; changes meanwhile may or may not be seen."""
        return self._reader.messages(queue)

    def find(self, queue_id: str) -> QueuedMessage | None:
        return self._reader.find(queue_id)

    def read_recipients(self, message: QueuedMessage, limit: int) -> list[QueuedRecipient]:
        """The next of a message's unread recipients, at most `limit`; the message then has them too."""
        return self._reader.read_recipients(message, limit)

    def exists(self, message: QueuedMessage) -> bool:
        """Whether the message is still in the queue."""
        return self._reader.exists(message.sequence)

    def content(self, message: QueuedMessage) -> bytes:
        """Header and body as accepted. Raises MessageCorrupt if it is missing or its checksum is wrong."""
        return self._reader.content(message)

    def queue_ids(self) -> set[str]:
        """The ids of all messages."""
        return self._reader.queue_ids()

    def raw_content(self, message: QueuedMessage) -> bytes:
        """What there is of the content, unchecked, for a message that is set aside."""
        return self._reader.raw_content(message)

    def repair(self, fault: str) -> None:
        """The database is torn: set it aside, go on with what can be read. Raises QueueError."""
        schema.repair(self.directory, fault)

    def compact(self) -> None:
        """After a flood of mail: an empty database gives its room back. A failure is only told."""
        try:
            if schema.compact(self.directory):
                logger.info("%s: its room is given back", layout.DATABASE)
        except (OSError, sqlite3.Error) as error:
            logger.warning("%s: %s", layout.DATABASE, error)

    # --- changing --------------------------------------------------------------------------------------------------

    async def change(self, *changes: Change) -> None:
        """Apply all of the changes in one transaction."""
        await self._writer.write(changes[0] if len(changes) == 1 else Sequel(changes))

    def change_blocking(self, *changes: Change) -> None:
        self._writer.write_blocking(Sequel(changes))

    def submit(self, change: Change, done: Callable[[BaseException | None], None]) -> None:
        """Apply a change some time soon without waiting; `done` is called in the event loop."""
        self._writer.submit(change, done)

    def new(self, message: NewMessage) -> Put:
        """A change that puts a message (a bounce), to be applied together with others."""
        return self._put(message)

    def remove(self, message: QueuedMessage) -> Remove:
        """A change that removes a message with its content."""
        return Remove(message.sequence, self._reader.body_file(message) if self._may_have_file(message) else None)

    def _may_have_file(self, message: QueuedMessage) -> bool:
        return message.size >= MIN_LARGE_BODY
