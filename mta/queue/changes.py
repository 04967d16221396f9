"""What can be changed in the queue; each change is applied inside a transaction of the writer."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mta.queue import layout
from mta.queue.errors import QueueError
from mta.queue.message import FORCED_EXPIRE, NewMessage, QueueName, Recipient
from mta.queue.texts import to_column


class Change:
    """The writer calls `stage` before the transaction, `apply` in it, then `finished`, or `undo` if it failed.

    What `stage` or `apply` raises is this change's failure alone.
    """

    durable: bool = True
    """Whether the promise given with it needs an fsync. Where a power cut would only repeat a delivery it does not."""
    has_file: bool = False
    """Whether `stage` and `finished` have something to do; they are called in another thread."""
    octets: int = 8192
    """About how much it adds to the write-ahead log: the pages that it touches."""

    def stage(self) -> None:
        """Write files. Raises OSError."""

    def apply(self, connection: sqlite3.Connection) -> None:
        """Change rows. Raises sqlite3.Error."""

    def finished(self) -> None:
        """Clean up after the commit."""

    def undo(self) -> None:
        """Remove what `stage` made."""


class Sequel(Change):
    """Several changes as one: all or none."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes
        self.durable = any(change.durable for change in changes)
        self.has_file = any(change.has_file for change in changes)
        self.octets = sum(change.octets for change in changes)

    def stage(self) -> None:
        for change in self._changes:
            change.stage()

    def apply(self, connection: sqlite3.Connection) -> None:
        for change in self._changes:
            change.apply(connection)

    def finished(self) -> None:
        for change in self._changes:
            change.finished()

    def undo(self) -> None:
        for change in self._changes:
            change.undo()


class TakeNumbers(Change):
    """Reserve numbers for queue ids; `first` is set by `apply`. Durable: a number is never given twice."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.first = 0

    def apply(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT value FROM counters WHERE name = 'number'").fetchone()
        self.first = int(row[0])
        connection.execute("UPDATE counters SET value = ? WHERE name = 'number'", (self.first + self._count,))


_envelope = json.JSONEncoder(separators=(",", ":")).encode

INSERT_MESSAGE: Final = (
    "INSERT INTO messages (queue_id, queue, sender, arrival, size, next_attempt, recipient_count, envelope, checksum)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_RECIPIENT: Final = (
    "INSERT INTO recipients (sequence, position, address, original, orcpt, notify) VALUES (?, ?, ?, ?, ?, ?)"
)
INSERT_EXPANDED: Final = (
    "INSERT INTO recipients (sequence, position, address, original, orcpt, notify, outcome, dsn, reason)"
    " VALUES (?, ?, ?, ?, ?, ?, 'expanded', '2.0.0', 'alias expanded')"
)


class Put(Change):
    """A new message; its content becomes a file in `bodies` if that is given."""

    def __init__(self, message: NewMessage, arrival: float, bodies: Path | None) -> None:
        self._message = message
        self._bodies = bodies
        self._staged = self._renamed = False
        self.has_file = bodies is not None
        self.octets = Change.octets + (0 if bodies else len(message.content))
        queue = QueueName.HOLD if message.hold else QueueName.INCOMING
        envelope = {
            "ret": message.ret,
            "envid": message.envid,
            "body": message.body,
            "smtputf8": message.smtputf8,
            "filter": message.filter,
            "attributes": message.attributes,
        }
        self._row = (
            message.queue_id,
            queue,
            to_column(message.sender),
            arrival,
            len(message.content),
            arrival,
            len(message.recipients),
            _envelope(envelope),
            zlib.crc32(message.content),
        )

    def stage(self) -> None:
        if self._bodies is None:
            return
        if (self._bodies / self._message.queue_id).exists():
            raise QueueError(f"{self._message.queue_id}: there is a content of that name")
        temporary = self._bodies / f"{self._message.queue_id}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, layout.FILE_MODE)
        self._staged = True
        with os.fdopen(fd, "wb", buffering=0) as file:
            layout.give_to_owner(fd, self._bodies)
            view = memoryview(self._message.content)
            while view:
                view = view[file.write(view) :]
            os.fsync(fd)
        temporary.rename(self._bodies / self._message.queue_id)
        self._renamed = True
        # The name must be durable before the row that speaks of it.
        layout.sync_directory(self._bodies)

    def apply(self, connection: sqlite3.Connection) -> None:
        sequence = connection.execute(INSERT_MESSAGE, self._row).lastrowid
        if self._bodies is None:
            connection.execute("INSERT INTO contents VALUES (?, ?)", (sequence, self._message.content))
        elif not (self._bodies / self._message.queue_id).exists():
            # By a clock that leapt, it was old enough to look like what a crash left (bodies.remove_orphans).
            raise QueueError(f"{self._message.queue_id}: its content has vanished")
        rows = [
            (sequence, position, *_recipient_columns(recipient))
            for position, recipient in enumerate((*self._message.recipients, *self._message.expanded))
        ]
        count = len(self._message.recipients)
        connection.executemany(INSERT_RECIPIENT, rows[:count])
        if len(rows) > count:
            connection.executemany(INSERT_EXPANDED, rows[count:])

    def undo(self) -> None:
        if self._staged and self._bodies is not None:
            with contextlib.suppress(OSError):
                (self._bodies / f"{self._message.queue_id}{'' if self._renamed else '.tmp'}").unlink()


def _recipient_columns(recipient: Recipient) -> tuple[str | bytes, str | bytes, str | bytes, int]:
    done = recipient.completed()
    return to_column(done.address), to_column(done.original), to_column(done.orcpt), int(done.notify)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one recipient's attempt ended; the fields of a delivery status notification (RFC 3464 section 2.3)."""

    dsn: str
    reason: str
    action: str = ""
    """failed, delayed, delivered, relayed, expanded"""
    record: Mapping[str, str] = field(default_factory=dict)


class Progress(Change):
    """State of recipients after an attempt. Not durable: after a power cut the delivery is repeated."""

    durable = False

    def __init__(
        self,
        sequence: int,
        *,
        done: Iterable[int] = (),
        told: Mapping[int, Outcome] | None = None,
        waiting: Mapping[int, Outcome] | None = None,
    ) -> None:
        """`done` need nothing more; `told` are finished but their sender is to be notified; `waiting` try again."""
        self._done = [(sequence, position) for position in done]
        self._outcomes = [
            (action, outcome.dsn, to_column(outcome.reason), json.dumps(dict(outcome.record)), sequence, position)
            for group, waits in ((told or {}, False), (waiting or {}, True))
            for position, outcome in group.items()
            for action in ("" if waits else outcome.action,)
        ]

    def apply(self, connection: sqlite3.Connection) -> None:
        if self._done:
            connection.executemany("DELETE FROM recipients WHERE sequence = ? AND position = ?", self._done)
        if self._outcomes:
            connection.executemany(
                "UPDATE recipients SET outcome = ?, dsn = ?, reason = ?, record = ?"
                " WHERE sequence = ? AND position = ?",
                self._outcomes,
            )


class Defer(Change):
    """The message waits until `next_attempt`; one on hold stays there."""

    durable = False

    def __init__(self, sequence: int, next_attempt: float, *, warned: bool = False) -> None:
        self._sequence = sequence
        self._next_attempt = next_attempt
        self._warned = warned

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE messages SET queue = CASE queue WHEN 'hold' THEN 'hold' ELSE 'deferred' END, next_attempt = ?,"
            " attempts = attempts + 1, warned = max(warned, ?) WHERE sequence = ?",
            (self._next_attempt, self._warned, self._sequence),
        )


class Remove(Change):
    """The message leaves the queue. Durable if it has a file: a row that came back without it would look damaged."""

    def __init__(self, sequence: int, body: Path | None) -> None:
        """`body`: the content's file, if it has one of its own."""
        self._sequence = sequence
        self._body = body
        self.durable = self.has_file = body is not None

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM messages WHERE sequence = ?", (self._sequence,))  # see schema.CASCADE

    def finished(self) -> None:
        if self._body is not None:
            with contextlib.suppress(OSError):
                self._body.unlink()


class Forget(Change):
    """Recipients whose sender was told; durable, as the notice about them is in the same transaction."""

    def __init__(self, sequence: int, positions: Iterable[int]) -> None:
        self._rows = [(sequence, position) for position in positions]

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.executemany("DELETE FROM recipients WHERE sequence = ? AND position = ?", self._rows)


class Expire(Change):
    """postsuper(1) -e and -f: the message is returned when its next attempt is due."""

    def __init__(self, sequence: int) -> None:
        self._sequence = sequence

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE messages SET envelope = json_set(envelope, ?, '1') WHERE sequence = ?",
            (f"$.attributes.{FORCED_EXPIRE}", self._sequence),
        )


class Move(Change):
    """postsuper(1) -h, -H and -r: to another queue; from `source` only, if that is given."""

    def __init__(self, sequence: int, target: QueueName, next_attempt: float, source: QueueName | None = None) -> None:
        self._values = (target, next_attempt, sequence, source, source)
        self.moved = False

    def apply(self, connection: sqlite3.Connection) -> None:
        cursor = connection.execute(
            "UPDATE messages SET queue = ?, next_attempt = ? WHERE sequence = ? AND (? IS NULL OR queue = ?)",
            self._values,
        )
        self.moved = cursor.rowcount > 0
