"""Reads messages, recipients and contents; never waits for a writer (SQLite's WAL)."""

from __future__ import annotations

import functools
import itertools
import json
import operator
import os
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from mta.queue import schema
from mta.queue.errors import QueueDamaged, QueueError
from mta.queue.ids import is_queue_id
from mta.queue.message import Notify, QueuedMessage, QueuedRecipient, QueueName, Recipient
from mta.queue.texts import from_column

COLUMNS: Final = (
    "sequence, queue_id, queue, sender, arrival, size, next_attempt, attempts, warned, recipient_count,"
    " envelope, checksum"
)
RECIPIENT_COLUMNS: Final = "sequence, position, outcome, address, original, orcpt, notify, dsn, reason, record"
LAST_SECOND: Final = 1e11
"""No arrival is later, in seconds since the epoch."""
FEW: Final = 50
"""Recipients that the queue manager takes with their message; it reads more by and by."""
PORTION: Final = 500
"""Messages read at once: bounds memory with a long queue."""


class MessageCorrupt(QueueError):
    """A message's rows or content are damaged; the rest of the queue is not."""


class Deferred(NamedTuple):
    """What the queue manager has to know of a deferred message before it reads it."""

    next_attempt: float
    sequence: int
    domain: str
    """Of its first recipient."""


def domain_of(address: str) -> str:
    """The domain of an address, or nothing."""
    return address.rpartition("@")[2].casefold()


class Reader:
    """A reading connection. Use it from one thread."""

    def __init__(self, database: Path, bodies: Path) -> None:
        self._database = database
        self._name = str(database)
        self._bodies = bodies
        self._connection: sqlite3.Connection | None = None
        self._file = 0

    def _connect(self) -> sqlite3.Connection:
        """The connection; a new one if the database was replaced by a repair."""
        file = os.stat(self._name).st_ino  # noqa: PTH116 - asked for each query
        if self._connection is None or file != self._file:
            self.close()
            self._connection, self._file = schema.connect(self._database), file
            self._connection.execute("PRAGMA query_only = ON")
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def arrivals(self, after: int, limit: int) -> list[QueuedMessage]:
        # With any name that is none: such a row is set aside like other damage.
        unread = "sequence > ? AND queue NOT IN ('deferred', 'hold')"
        return self._select(f"{unread} ORDER BY sequence LIMIT ?", (after, limit), FEW)

    def due(self, now: float, after: tuple[float, int], limit: int) -> list[Deferred]:
        condition = "queue = 'deferred' AND next_attempt <= ? AND (next_attempt, sequence) > (?, ?)"
        return self._deferred(f"{condition} ORDER BY next_attempt, sequence LIMIT ?", (now, *after, limit))

    def deferred(self, after: int, limit: int, domain: str | None) -> list[Deferred]:
        if domain is None:
            return self._deferred("sequence > ? AND queue = 'deferred' ORDER BY sequence LIMIT ?", (after, limit))
        # What stands behind the last `@`, in any case; addresses that are not UTF-8 are BLOBs.
        pattern = "%@" + re.sub(r"[%_\\]", r"\\\g<0>", domain)
        wanted = (
            "SELECT DISTINCT recipients.sequence FROM recipients JOIN messages USING (sequence)"
            " WHERE recipients.sequence > ? AND queue = 'deferred' AND CAST(address AS TEXT) LIKE ? ESCAPE '\\'"
            " ORDER BY recipients.sequence LIMIT ?"
        )
        return self._deferred(f"sequence IN ({wanted}) ORDER BY sequence", (after, pattern, limit))

    def read(self, sequences: Sequence[int]) -> list[QueuedMessage]:
        marks = ",".join("?" * len(sequences))
        found = self._select(f"sequence IN ({marks}) AND queue = 'deferred'", tuple(sequences), FEW)
        place = {sequence: number for number, sequence in enumerate(sequences)}
        return sorted(found, key=lambda message: place[message.sequence])

    def next_due(self) -> float | None:
        row = self._query("SELECT min(next_attempt) FROM messages WHERE queue = 'deferred'", ())[0]
        return None if row[0] is None else float(row[0])

    def messages(self, queue: QueueName | None) -> Iterator[QueuedMessage]:
        last = 0
        while portion := self._select(
            "sequence > ? AND (? IS NULL OR queue = ?) ORDER BY sequence LIMIT ?", (last, queue, queue, PORTION)
        ):
            yield from portion
            last = portion[-1].sequence

    def find(self, queue_id: str) -> QueuedMessage | None:
        # An id is ASCII; what else someone types SQLite might not even take.
        found = self._select("queue_id = ?", (queue_id,)) if queue_id.isascii() else []
        return found[0] if found else None

    def exists(self, sequence: int) -> bool:
        """Whether the message is (still) in the queue."""
        return bool(self._query("SELECT 1 FROM messages WHERE sequence = ?", (sequence,)))

    def queue_ids(self) -> set[str]:
        """All queue ids."""
        return {row[0] for row in self._query("SELECT queue_id FROM messages", ())}

    def raw_content(self, message: QueuedMessage) -> bytes:
        """What there is of the content, unchecked."""
        rows = self._query("SELECT data FROM contents WHERE sequence = ?", (message.sequence,))
        try:
            data = rows[0][0] if rows else (self._bodies / message.queue_id).read_bytes()
        except OSError:
            return b""
        return data if isinstance(data, bytes) else str(data).encode()

    def content(self, message: QueuedMessage) -> bytes:
        rows = self._query("SELECT data FROM contents WHERE sequence = ?", (message.sequence,))
        try:
            data = rows[0][0] if rows else (self._bodies / message.queue_id).read_bytes()
        except FileNotFoundError as error:
            raise MessageCorrupt("its content is missing") from error
        except OSError as error:
            raise QueueError(str(error)) from error
        if not isinstance(data, bytes) or len(data) != message.size or zlib.crc32(data) != message.checksum:
            raise MessageCorrupt("its content is torn")
        return data

    def body_file(self, message: QueuedMessage) -> Path | None:
        """The content's file, if it is not in the database."""
        path = self._bodies / message.queue_id
        return path if path.exists() else None

    def read_recipients(self, message: QueuedMessage, limit: int) -> list[QueuedRecipient]:
        """The next of its unread recipients, at most `limit`, put to the others of the message too."""
        sql = (
            f"SELECT {RECIPIENT_COLUMNS} FROM recipients WHERE sequence = ? AND position > ? ORDER BY position LIMIT ?"  # noqa: S608
        )
        rows = self._query(sql, (message.sequence, message.read_to, limit))
        found = _take(message, rows)
        message.read_to = rows[-1][1] if rows else message.read_to
        # As many as there can be at most: of those that were there some are done.
        message.unread = max(1, message.unread - len(found)) if len(rows) == limit else 0
        return found

    def _deferred(self, condition: str, values: tuple[Any, ...]) -> list[Deferred]:
        first = "SELECT address FROM recipients WHERE recipients.sequence = messages.sequence ORDER BY position LIMIT 1"
        rows = self._query(f"SELECT next_attempt, sequence, ({first}) FROM messages WHERE {condition}", values)  # noqa: S608
        return [Deferred(at, sequence, _domain(address)) for at, sequence, address in rows]

    def _select(self, condition: str, values: tuple[Any, ...], few: int | None = None) -> list[QueuedMessage]:
        """`few`: recipients of messages that had more are left unread."""
        rows = self._query(f"SELECT {COLUMNS} FROM messages WHERE {condition}", values)  # noqa: S608
        if not rows:
            return []
        messages = {row[0]: _message(row) for row in rows}
        for message in messages.values():
            if few is not None and message.recipient_count > few:
                message.unread = message.recipient_count
        whole = [sequence for sequence, message in messages.items() if not message.unread]
        marks = ",".join("?" * len(whole))
        sql = f"SELECT {RECIPIENT_COLUMNS} FROM recipients WHERE sequence IN ({marks}) ORDER BY sequence, position"  # noqa: S608
        for sequence, of_one in itertools.groupby(self._query(sql, tuple(whole)), key=operator.itemgetter(0)):
            _take(messages[sequence], of_one)
        return list(messages.values())

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connect().execute(sql, values).fetchall()
        except (OSError, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise QueueDamaged(str(error)) from error
            raise QueueError(f"queue read error: {error}") from error


def _domain(address: object) -> str:
    """Of a column; nothing for one that is damaged, which shows when the message is read."""
    return domain_of(from_column(address)) if isinstance(address, str | bytes) else ""


def _message(row: tuple[Any, ...]) -> QueuedMessage:
    try:
        return _sound_message(row)
    except (ValueError, TypeError, AttributeError, OverflowError):
        # One bad row must not hide the others: the queue manager sets it aside.
        queue_id = row[1] if isinstance(row[1], str) and is_queue_id(row[1]) else f"damaged-{row[0]}"
        return QueuedMessage(
            sequence=int(row[0]), queue_id=queue_id, queue=QueueName.HOLD, sender="", arrival=0.0, size=0,
            next_attempt=0.0, warned=False, ret="", envid="", body="", smtputf8=False, filter="", attributes={},
            recipients=[], recipient_count=0, fault="its row is damaged",
        )  # fmt: skip


def _sound_message(row: tuple[Any, ...]) -> QueuedMessage:
    (sequence, queue_id, queue, sender, arrival, size, next_attempt, attempts, warned, count, envelope, checksum) = row
    told = json.loads(envelope)
    if not (is_queue_id(queue_id) and 0 <= arrival < LAST_SECOND and size >= 0 and next_attempt >= 0):
        raise ValueError
    return QueuedMessage(
        sequence=sequence,
        queue_id=queue_id,
        queue=QueueName(queue),
        sender=from_column(sender),
        arrival=float(arrival),
        size=int(size),
        next_attempt=float(next_attempt),
        warned=bool(warned),
        ret=str(told.get("ret", "")),
        envid=str(told.get("envid", "")),
        body=str(told.get("body", "")),
        smtputf8=bool(told.get("smtputf8")),
        filter=str(told.get("filter", "")),
        attributes={str(name): str(value) for name, value in told.get("attributes", {}).items()},
        recipients=[],
        recipient_count=int(count),
        attempts=int(attempts),
        checksum=int(checksum),
    )


def _take(message: QueuedMessage, rows: Iterable[tuple[Any, ...]]) -> list[QueuedRecipient]:
    """The recipients of these rows, put to those that the message has."""
    found = []
    for row in rows:
        try:
            found.append(_recipient(row))
        except (ValueError, TypeError):
            message.fault = "a recipient's row is damaged"
    message.recipients += found
    return found


_notify: Final = functools.lru_cache(maxsize=64)(Notify)
"""An enumeration asked for a value is slow to answer."""


def _recipient(row: tuple[Any, ...]) -> QueuedRecipient:
    """Raises ValueError, TypeError."""
    _, position, outcome, address, original, orcpt, notify, dsn, reason, record = row
    told = json.loads(record) if record else {}
    recipient = Recipient(from_column(address), from_column(original), from_column(orcpt), _notify(notify))
    record = {str(name): str(value) for name, value in dict(told).items()} if told else {}
    return QueuedRecipient(position, recipient, from_column(outcome), from_column(dsn), from_column(reason), record)
