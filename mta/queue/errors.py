"""What can go wrong when a message is to be kept, with the reply that the peer gets for it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Final

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class QueueError(Exception):
    """The message was not kept and the client should try again (451 4.3.0).

    `str(error)` is the private reason, for the log; `.reply` is what the peer is told (Postfix cleanup(8),
    RFC 3463 section 3.4).
    """

    code = 451
    enhanced_status = "4.3.0"
    text = "Error: queue file write error"

    @property
    def reply(self) -> str:
        return f"{self.code} {self.enhanced_status} {self.text}"


class QueueFull(QueueError):
    """There is not enough room for the message: disk full, quota, or less than queue_minfree left (452 4.3.1)."""

    code = 452
    enhanced_status = "4.3.1"
    text = "Insufficient system storage"


class QueueRefused(QueueError):
    """The message itself cannot be stored, now or later: to try again is of no use (554 5.6.0)."""

    code = 554
    enhanced_status = "5.6.0"
    text = "Error: message cannot be stored"


class QueueLocked(QueueError):
    """Another queue manager already works on this queue."""


class QueueDamaged(QueueError):
    """The database itself is torn: `Queue.repair` saves what can be read."""


class ForeignQueue(QueueError):
    """The database was written by a newer hardmail: it is left as it is and not opened."""


def typed(error: Exception, where: Path | None = None) -> QueueError:
    """The error as one of ours: what the system or SQLite says (SQLite without the file), in the words for the peer."""
    if isinstance(error, QueueError):
        return error
    text = str(error) or type(error).__name__
    if where is not None and not isinstance(error, OSError):
        text = f"{where}: {text}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, without SQLite's details
    if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno in _NO_SPACE):
        return QueueFull(text)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return QueueDamaged(text)
    if isinstance(error, ValueError | TypeError | OverflowError | sqlite3.DataError):
        return QueueRefused(f"{type(error).__name__}: {error}")
    return QueueError(text)
