"""Concurrency per destination, with feedback, and fair turns between destinations (SCHEDULER_README).

Pure bookkeeping: no clock of its own, no I/O. A destination is one next hop of one transport.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from mta.delivery.result import Dsn
from mta.queue.settings import TransportSettings

E = TypeVar("E")

BACK_TO_BACK: Final = 1.0
"""Seconds after a delivery in which the next counts as following at once (qmgr_entry_select)."""
QUIET: Final = 5.0
"""Seconds without any delivery after which a destination is forgotten."""


@dataclass(slots=True)
class Destination(Generic[E]):
    """One next hop: what waits for it, how much goes there at once."""

    name: str
    nexthop: str
    window: int
    waiting: deque[E] = field(default_factory=deque)
    busy: int = 0
    success: float = 0.0
    failure: float = 0.0
    failed_cohorts: float = 0.0
    dead: Dsn | None = None
    """Why nothing is sent there for now."""
    dead_until: float = 0.0
    not_before: float = 0.0
    """destination_rate_delay"""
    last_done: float = 0.0

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.busy


class Transport(Generic[E]):
    """All destinations of one transport; `next_turn` goes round among them."""

    def __init__(self, name: str, settings: TransportSettings) -> None:
        self.name = name
        self.settings = settings
        self.busy = 0
        self._destinations: dict[str, Destination[E]] = {}
        self._turns: deque[Destination[E]] = deque()
        """Destinations with something waiting, in the order of their next turn."""

    def destination(self, name: str, nexthop: str) -> Destination[E]:
        """The destination of that name, a fresh one if it is not known."""
        found = self._destinations.get(name)
        if found is None:
            window = max(1, min(self.settings.initial_concurrency, self.settings.concurrency_limit or 1 << 30))
            found = self._destinations[name] = Destination(name, nexthop, window)
        return found

    def dead(self, name: str, now: float) -> Dsn | None:
        """Why the destination is not to be tried; None if it may be. Death ends with time."""
        found = self._destinations.get(name)
        if found is None or found.dead is None:
            return None
        if now >= found.dead_until:
            self._revive(found)
            return None
        return found.dead

    def revive_all(self) -> None:
        """Forget who is dead (postqueue -f)."""
        for found in list(self._destinations.values()):
            if found.dead is not None:
                self._revive(found)

    def _revive(self, found: Destination[E]) -> None:
        found.dead = None
        found.window = max(1, self.settings.initial_concurrency)
        found.failed_cohorts = found.success = found.failure = 0.0

    def add(self, destination: Destination[E], entry: E) -> None:
        """Something waits for delivery there."""
        if not destination.waiting:
            self._turns.append(destination)
        destination.waiting.append(entry)

    def take_all(self, destination: Destination[E]) -> list[E]:
        """Everything that waits there, taken away."""
        entries = list(destination.waiting)
        destination.waiting.clear()
        return entries

    def next_turn(self, now: float) -> tuple[Destination[E], E] | None:
        """The next delivery to start, or None. Marks it as busy."""
        limit = self.settings.process_limit
        if limit and self.busy >= limit:
            return None
        for _ in range(len(self._turns)):
            destination = self._turns.popleft()
            if not destination.waiting:
                continue
            if destination.busy >= destination.window or destination.dead is not None or now < destination.not_before:
                self._turns.append(destination)
                continue
            entry = destination.waiting.popleft()
            if destination.waiting:
                self._turns.append(destination)
            destination.busy += 1
            self.busy += 1
            return destination, entry
        return None

    def next_time(self) -> float | None:
        """When a destination that is slowed down by a rate delay may be used again."""
        times = [found.not_before for found in self._turns if found.waiting and found.not_before]
        return min(times, default=None)

    def finished(self, destination: Destination[E], now: float) -> None:
        """A delivery ended, well or not."""
        destination.busy -= 1
        self.busy -= 1
        destination.last_done = now
        if self.settings.rate_delay:
            destination.not_before = now + self.settings.rate_delay

    def busy_with(self, destination: Destination[E], now: float) -> bool:
        """Whether a connection is worth keeping: more waits, goes on beside this, or went just before."""
        return bool(destination.waiting) or destination.busy > 1 or now - destination.last_done <= BACK_TO_BACK

    def forget_quiet(self, now: float) -> None:
        """A destination that was quiet for a while starts anew, with its initial concurrency."""
        for found in list(self._destinations.values()):
            if not found.idle or now - found.last_done <= QUIET or now < found.not_before:
                continue
            if found.dead is None or now >= found.dead_until:
                del self._destinations[found.name]

    def good(self, destination: Destination[E]) -> None:
        """The destination answered: perhaps more at once (qmgr_feedback, positive)."""
        settings = self.settings
        destination.failed_cohorts = 0.0
        limit = settings.concurrency_limit
        if limit and destination.window >= limit:
            return
        # Only a window that is in use may grow.
        if destination.busy < destination.window and not destination.waiting:
            return
        destination.failure = 0.0
        destination.success += settings.positive.amount(destination.window)
        while destination.success >= 1:
            destination.success -= 1
            destination.window += 1
        if limit:
            destination.window = min(destination.window, limit)

    def bad(self, destination: Destination[E], why: Dsn, now: float, dead_for: float) -> bool:
        """The destination as a whole failed: less at once, or none for a while. True if it is now dead."""
        settings = self.settings
        destination.failed_cohorts += 1.0 / max(destination.window, 1)
        destination.success = 0.0
        destination.failure += settings.negative.amount(destination.window)
        while destination.failure >= 1 and destination.window > 1:
            destination.failure -= 1
            destination.window -= 1
        if settings.failed_cohort_limit and destination.failed_cohorts >= settings.failed_cohort_limit:
            destination.dead, destination.dead_until = why, now + dead_for
        return destination.dead is not None


def soonest(transports: dict[str, Transport[E]], pick: Callable[[Transport[E]], float | None]) -> float | None:
    """The earliest of some time over all transports."""
    times = [time for transport in transports.values() if (time := pick(transport)) is not None]
    return min(times, default=None)
