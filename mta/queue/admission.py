"""What enters the active queue next: new mail and deferred mail in turns, read in portions (qmgr(8))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mta.queue.message import QueuedMessage
from mta.queue.store import Queue

PORTION: Final = 100
"""Messages taken from the database at once: bounds the time that deliveries under way have to wait."""
LAST: Final = (float("inf"), 0)
"""Behind every deferred message."""


@dataclass(slots=True)
class _Due:
    """Deferred mail that is due. The ends are fixed: what is deferred again meanwhile is not met a second time."""

    until: float
    horizon: float
    """No message waits so long: the clock was set back, and it is due as well."""
    cursor: tuple[float, int] = (0.0, 0)

    def portion(self, queue: Queue, limit: int) -> list[QueuedMessage]:
        found = queue.due(self.until, self.cursor, limit)
        if len(found) == limit:
            self.cursor = (found[-1].next_attempt, found[-1].sequence)
        elif self.until < self.horizon:
            self.cursor, self.until = (self.horizon, 1 << 62), LAST[0]
        else:
            self.cursor = LAST
        return found

    @property
    def over(self) -> bool:
        return self.cursor == LAST


@dataclass(slots=True)
class _Flush:
    """All deferred mail, or that for a domain, due or not; by sequence, for the same reason."""

    domain: str | None = None
    cursor: int = 0
    over: bool = False

    def portion(self, queue: Queue, limit: int) -> list[QueuedMessage]:
        found = queue.deferred(self.cursor, limit, self.domain)
        self.over = len(found) < limit
        if found:
            self.cursor = found[-1].sequence
        return found


class Admission:
    """Remembers how far the queue was read. A message may be handed out twice: the caller knows what is active."""

    def __init__(self, queue: Queue, now: float, longest_wait: float) -> None:
        """`longest_wait`: seconds after which any deferred message is due (maximal_backoff_time)."""
        self._queue = queue
        self._longest_wait = longest_wait
        self._last_arrival = 0
        self._incoming = True
        self._due: _Due | None = None
        self._flushes: dict[str | None, _Flush] = {}
        self.begin_run(now)

    @property
    def more(self) -> bool:
        """There may be something to read."""
        return self._incoming or self._due is not None or bool(self._flushes)

    def look(self) -> None:
        """New mail may have come."""
        self._incoming = True

    def begin_run(self, now: float) -> None:
        """Go through the deferred mail that is due by now."""
        self._incoming = True
        self._due = _Due(now, now + self._longest_wait)

    def flush(self, domain: str | None = None) -> None:
        """Go through all deferred mail (of a recipient's domain), due or not."""
        self._incoming = True
        self._flushes[domain] = _Flush(domain)

    def portion(self, room: int) -> list[tuple[QueuedMessage, bool]]:
        """The next messages, about `room` at most, of each kind, so that none can starve the others; and whether each
        is to be tried even if its destination is dead. Raises QueueError."""
        kinds = self._incoming + len(self._flushes) + (self._due is not None)
        limit = max(1, min(PORTION, room // max(1, kinds)))
        found = [(message, False) for message in self._arrivals(limit)]
        for domain, flush in list(self._flushes.items()):
            found += [(message, True) for message in flush.portion(self._queue, limit)]
            if flush.over:
                del self._flushes[domain]
        if self._due is not None:
            found += [(message, False) for message in self._due.portion(self._queue, limit)]
            if self._due.over:
                self._due = None
        return found

    def _arrivals(self, limit: int) -> list[QueuedMessage]:
        if not self._incoming:
            return []
        found = self._queue.arrivals(self._last_arrival, limit)
        self._incoming = len(found) == limit
        if found:
            self._last_arrival = found[-1].sequence
        return found
