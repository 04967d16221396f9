"""One next hop: how much goes there at once, what its successes and failures change, and when it counts as dead.

Pure bookkeeping: no clock of its own, no I/O. The arithmetic is qmgr(8)'s (SCHEDULER_README, "Concurrency scheduling").
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from mta.delivery.result import Dsn
from mta.queue.settings import TransportSettings

if TYPE_CHECKING:
    from mta.queue.jobs import Job

E = TypeVar("E")

logger = logging.getLogger("postfix.qmgr")

BACK_TO_BACK: Final = 1.0
"""Seconds after a delivery in which the next counts as following at once (qmgr_entry_select)."""


@dataclass(slots=True, eq=False)
class Waiting(Generic[E]):
    """An entry that waits for its delivery."""

    entry: E
    job: Job[E]
    destination: Destination[E]
    taken: bool = False


@dataclass(slots=True, eq=False)
class Destination(Generic[E]):
    """One next hop of one transport."""

    name: str
    nexthop: str
    settings: TransportSettings
    window: int = 0
    """Deliveries at once, as the feedback has it."""
    busy: int = 0
    count: int = 0
    """Entries that wait."""
    heap: list[tuple[tuple[float, ...], int, Waiting[E]]] = field(default_factory=list)
    """Those, and some that are taken or stand further in front by now, in the order of their jobs."""
    turn: int = 0
    """When it was last chosen, counted in choices; among equals the longest unchosen is next."""
    offer: tuple[tuple[float, ...], int] | None = None
    """What stands for it among the transport's offers."""
    success: float = 0.0
    failure: float = 0.0
    failed_cohorts: float = 0.0
    dead: Dsn | None = None
    """Why nothing is sent there for now."""
    dead_from: float = 0.0
    dead_until: float = 0.0
    resting_from: float = 0.0
    resting_until: float = 0.0
    """destination_rate_delay"""
    last_done: float = 0.0
    next_warning: float = 0.0
    """When it may be warned of again (clog.warn)."""

    def __post_init__(self) -> None:
        self.window = self.settings.initial_concurrency

    @property
    def idle(self) -> bool:
        return not self.count and not self.busy

    def ready(self, now: float) -> bool:
        """Whether one more delivery may start."""
        return self.count > 0 and self.busy < self.window and self.dead is None and not self.resting(now)

    def resting(self, now: float) -> bool:
        """Whether the pause after the last delivery lasts; a clock that was set back ends it."""
        return self.resting_from <= now < self.resting_until

    def first(self) -> Waiting[E]:
        """Who is next here; only while something waits."""
        while True:
            order, _, waiting = self.heap[0]
            if not waiting.taken and order == waiting.job.order:
                return waiting
            heapq.heappop(self.heap)

    def all_waiting(self) -> Iterator[Waiting[E]]:
        """Everything that waits, in order."""
        for order, _, waiting in sorted(self.heap, key=lambda item: item[:2]):
            if not waiting.taken and order == waiting.job.order:
                yield waiting

    def good(self) -> None:
        """It answered: perhaps more at once (qmgr_queue_unthrottle)."""
        settings, limit = self.settings, self.settings.concurrency_limit
        self.failed_cohorts = 0.0
        if self.dead is not None:
            self.revive()
        elif (not limit or self.window < limit) and self.window < self.busy + settings.initial_concurrency:
            feedback = settings.positive.amount(self.window)
            self.success += feedback
            # Half a step of tolerance, for rounding.
            while self.success + feedback / 2 >= 1:
                self.window += 1
                self.success -= 1
                self.failure = 0.0
            self.window = min(self.window, limit or self.window)
        self._log("qmgr_queue_unthrottle")

    def bad(self, why: Dsn, now: float, dead_for: float) -> bool:
        """It failed as a whole: less at once, or nothing for a while (qmgr_queue_throttle). True if it is now dead."""
        if self.dead is not None:
            return True
        settings = self.settings
        self.failed_cohorts += 1.0 / self.window
        if settings.failed_cohort_limit and self.failed_cohorts >= settings.failed_cohort_limit:
            self.dead, self.dead_from, self.dead_until = why, now, now + dead_for
        else:
            # Takes effect at the begin of its cycle, where good news has to wait for the end.
            feedback = settings.negative.amount(self.window)
            self.failure -= feedback
            while self.failure - feedback / 2 < 0:
                self.window -= 1
                self.success = 0.0
                self.failure += 1
            self.window = max(self.window, 1)
        self._log("qmgr_queue_throttle")
        return self.dead is not None

    def why_dead(self, now: float) -> Dsn | None:
        """Why it is not to be tried. Death ends with time; a clock that was set back ends it too."""
        if self.dead is not None and not self.dead_from <= now < self.dead_until:
            self.revive()
        return self.dead

    def revive(self) -> None:
        """The best concurrency after that is anyone's guess."""
        self.dead = None
        self.window = self.busy or self.settings.initial_concurrency
        self.failed_cohorts = self.success = self.failure = 0.0

    def rest(self, now: float) -> None:
        """A delivery has ended (qmgr_entry_done)."""
        self.last_done = now
        if self.settings.rate_delay:
            # A slow channel is emulated; it is no dead one.
            self.dead = None
            self.window = 1
            self.resting_from, self.resting_until = now, now + self.settings.rate_delay
        elif self.idle and self.dead is None:
            # Postfix forgets a destination for which nothing is left, and begins anew with the next mail.
            self.revive()

    def _log(self, what: str) -> None:
        if self.settings.debug:
            logger.info(
                "%s: queue %s: limit %d window %d success %g failure %g fail_cohorts %g",
                what, self.name, self.settings.concurrency_limit, 0 if self.dead else self.window,
                self.success, self.failure, self.failed_cohorts,
            )  # fmt: skip
