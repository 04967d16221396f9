"""What enters the active queue next: new mail and deferred mail in turns, read in portions (qmgr(8))."""

from __future__ import annotations

from typing import Final

from mta.queue.message import QueuedMessage
from mta.queue.store import Queue

PORTION: Final = 100
"""Messages taken from the database at once: bounds the time that deliveries under way have to wait."""


class Admission:
    """Remembers how far the queue was read. A message may be handed out twice: the caller knows what is active."""

    def __init__(self, queue: Queue, now: float) -> None:
        self._queue = queue
        self._last_arrival = 0
        self._incoming = True
        self._due_cursor: tuple[float, int] | None = None
        self._due_until = 0.0
        self._flush_cursor: int | None = None
        self.begin_run(now)

    @property
    def more(self) -> bool:
        """There may be something to read."""
        return self._incoming or self._due_cursor is not None or self._flush_cursor is not None

    def look(self) -> None:
        """New mail may have come."""
        self._incoming = True

    def begin_run(self, now: float) -> None:
        """Go through the deferred mail that is due by now."""
        self._incoming = True
        # The end is fixed, so that what is deferred again meanwhile is not met a second time.
        self._due_cursor, self._due_until = (0.0, 0), now

    def flush(self) -> None:
        """Go through all deferred mail, due or not; by sequence, for the same reason."""
        self._incoming = True
        self._flush_cursor = 0

    def portion(self) -> list[QueuedMessage]:
        """The next messages, of both kinds: neither can starve the other. Raises QueueError."""
        return [*self._arrivals(), *self._deferred()]

    def _arrivals(self) -> list[QueuedMessage]:
        if not self._incoming:
            return []
        found = self._queue.arrivals(self._last_arrival, PORTION)
        self._incoming = len(found) == PORTION
        if found:
            self._last_arrival = found[-1].sequence
        return found

    def _deferred(self) -> list[QueuedMessage]:
        if self._flush_cursor is not None:
            found = self._queue.deferred(self._flush_cursor, PORTION)
            self._flush_cursor = found[-1].sequence if len(found) == PORTION else None
            return found
        if self._due_cursor is not None:
            found = self._queue.due(self._due_until, self._due_cursor, PORTION)
            self._due_cursor = (found[-1].next_attempt, found[-1].sequence) if len(found) == PORTION else None
            return found
        return []
