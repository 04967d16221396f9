"""What enters the active queue next: new mail as it came, deferred mail in fair order (qmgr(8))."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mta.queue.backlog import Backlog
from mta.queue.message import QueuedMessage
from mta.queue.reading import Deferred
from mta.queue.store import Queue

PORTION: Final = 100
"""Messages taken from the database at once: bounds the time that deliveries under way have to wait."""
SLICE: Final = 1000
"""Deferred messages looked at at once, for the same reason."""
BLOCK: Final = 100_000
"""Deferred messages among which the order is fair: bounds memory."""
MODEST: Final = 5
"""Deferred messages in a round that met new mail: who stands at the door goes first, and fast."""


@dataclass(slots=True)
class _Due:
    """Goes over the deferred mail that is due. The ends are fixed: what is deferred again is not met a second time."""

    until: float
    horizon: float
    """No message waits so long: the clock was set back, and it is due as well."""
    cursor: tuple[float, int] = (0.0, 0)

    def slice(self, queue: Queue) -> list[Deferred]:
        """The next ones; none at the end."""
        found = queue.due(self.until, self.cursor, SLICE)
        if found:
            self.cursor = (found[-1].next_attempt, found[-1].sequence)
        elif self.until < self.horizon:
            self.cursor, self.until = (self.horizon, 1 << 62), math.inf
            return self.slice(queue)
        return found


@dataclass(slots=True)
class _All:
    """Goes over all deferred mail, or that for a domain, due or not; by sequence, for the same reason."""

    domain: str | None = None
    cursor: int = 0

    def slice(self, queue: Queue) -> list[Deferred]:
        found = queue.deferred(self.cursor, SLICE, self.domain)
        if found:
            self.cursor = found[-1].sequence
        return found


@dataclass(slots=True)
class _Run:
    """A queue run: mail is looked at block by block, and each block then handed out in fair order."""

    source: _Due | _All
    flush: bool = False
    """It is tried even if its destination is dead."""
    backlog: Backlog = field(default_factory=Backlog)
    reading: bool = True
    """The block is not complete."""
    over: bool = False

    def read(self, queue: Queue) -> None:
        """Look at some more."""
        found = self.source.slice(queue)
        self.backlog.add(found)
        if not found or len(self.backlog) >= BLOCK:
            self.backlog.close()
            self.reading, self.over = False, not self.backlog

    def take(self, queue: Queue, limit: int, active: Callable[[str], int]) -> list[QueuedMessage]:
        found = queue.read(self.backlog.take(limit, active))
        if not self.backlog:
            self.backlog, self.reading = Backlog(), True
        return found


class Admission:
    """Remembers how far the queue was read. A message may be handed out twice: the caller knows what is active."""

    def __init__(self, queue: Queue, now: float, longest_wait: float) -> None:
        """`longest_wait`: seconds after which any deferred message is due (maximal_backoff_time)."""
        self._queue = queue
        self._longest_wait = longest_wait
        self._last_arrival = 0
        self._incoming = True
        self._due: _Run | None = None
        self._flushes: dict[str | None, _Run] = {}
        self._allowance = math.inf
        """Deferred messages that this round may still take."""
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
        self._due = _Run(_Due(now, now + self._longest_wait))

    def flush(self, domain: str | None = None) -> None:
        """Go through all deferred mail (of a recipient's domain), due or not."""
        self._incoming = True
        self._flushes[domain] = _Run(_All(domain), flush=True)
        if domain is None:
            self._due = None  # it is among all

    def begin_round(self) -> None:
        """Until the next, what `portion` hands out belongs together."""
        self._allowance = math.inf

    def portion(self, room: int, active: Callable[[str], int]) -> tuple[list[tuple[QueuedMessage, bool]], bool]:
        """The next messages, about `room` at most, and whether it is worth asking for more in this round.

        With each whether it is to be tried even if its destination is dead. `active`: messages to a domain that are in
        the active queue. Raises QueueError.
        """
        runs = [*self._flushes.values(), *filter(None, [self._due])]
        limit = max(1, min(PORTION, room // (self._incoming + len(runs) or 1)))
        found = [(message, False) for message in self._arrivals(limit)]
        if found:
            self._allowance = min(self._allowance, MODEST)
        progress = self._incoming
        for run in runs:
            if run.reading:
                run.read(self._queue)
                progress = progress or not run.over
            elif self._allowance > 0:
                taken = run.take(self._queue, int(min(limit, self._allowance)), active)
                self._allowance -= len(taken)
                found += [(message, run.flush) for message in taken]
                progress = progress or bool(taken)
        self._flushes = {domain: run for domain, run in self._flushes.items() if not run.over}
        self._due = None if self._due is not None and self._due.over else self._due
        return found, progress

    def _arrivals(self, limit: int) -> list[QueuedMessage]:
        if not self._incoming:
            return []
        found = self._queue.arrivals(self._last_arrival, limit)
        self._incoming = len(found) == limit
        if found:
            self._last_arrival = found[-1].sequence
        return found
