"""Jobs, the parts of messages that go through one transport: a small one overtakes a large one (SCHEDULER_README).

Jobs are served in the order in which their messages came. A large job earns a slot for every `slot_cost` deliveries; a
smaller job may spend them to go first. So a mail to one is not behind a mail to thousands, and that one is late by
1/slot_cost at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from mta.queue.destinations import Waiting
from mta.queue.settings import TransportSettings

E = TypeVar("E")

CANDIDATES: Final = 1000
"""Jobs looked at to find one that may overtake: bounds the time of a choice."""


@dataclass(slots=True, eq=False)
class Job(Generic[E]):
    """What of one message goes through one transport."""

    order: tuple[float, ...]
    """Sorts as the jobs stand in the list: `(7, inf)` is the seventh, `(7, 1, inf)` the first that overtook it."""
    queued: float
    """When the message became active."""
    total: int = 0
    """Entries so far."""
    entries: list[Waiting[E]] = field(default_factory=list)
    """Those that wait, and some that do not any more."""
    waiting: int = 0
    unread: int = 0
    """Recipients of the message that are not in memory yet, an upper bound of entries to come."""
    slots: int = 0
    """Deliveries that count towards being overtaken."""
    used: int = 0
    parent: Job[E] | None = None
    """The job that was overtaken."""
    children: list[Job[E]] = field(default_factory=list)
    overtaken: int = 0
    """How often."""
    level: int = -1
    """Depth in the stack of overtaking jobs; -1: not in the list."""
    before: Job[E] | None = None
    after: Job[E] | None = None


class JobList(Generic[E]):
    """The jobs of one transport that have something waiting, in the order of service."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._number = 0
        self._end: Job[E] = Job((math.inf,), 0.0)
        self._end.before = self._end.after = self._end

    def __iter__(self) -> Iterator[Job[E]]:
        job = self._end.after
        while job is not None and job is not self._end:
            yield job
            job = job.after

    def new(self, now: float) -> Job[E]:
        """A job behind all others; it enters the list with its first entry."""
        self._number += 1
        return Job((self._number, math.inf), now)

    def add(self, job: Job[E], waiting: Waiting[E]) -> None:
        """One more entry of the job waits."""
        job.entries.append(waiting)
        job.total += 1
        job.waiting += 1
        if job.level < 0:
            behind = self._end
            while behind.before is not None and behind.before is not self._end and behind.before.order > job.order:
                behind = behind.before
            self._link(job, behind)
            job.level = 0

    def selected(self, waiting: Waiting[E]) -> None:
        """Its delivery starts: the job earns part of a slot."""
        waiting.job.slots += 1
        waiting.job.used += 1
        self.removed(waiting)

    def removed(self, waiting: Waiting[E]) -> None:
        """It waits no more."""
        job = waiting.job
        waiting.taken = True
        job.waiting -= 1
        if job.waiting == 0:
            job.entries.clear()
            self._pop(job)
            for child in job.children:
                child.parent = None
            job.children.clear()
            self._unlink(job)
            job.level = -1

    def overtaking(self, current: Job[E], now: float) -> Job[E] | None:
        """The job that now goes before the current one, moved there; None if it is not its time."""
        settings = self._settings
        if (
            settings.slot_cost < 2
            or current.slots <= 0
            or current.total + current.unread < settings.min_slots * settings.slot_cost
        ):
            return None
        job = self._candidate(current, now)
        if job is None:
            return None
        expected = job.waiting + job.unread
        if current.slots // settings.slot_cost + settings.slot_loan < expected * (100 - settings.slot_discount) / 100:
            return None
        self._pop(job)
        self._unlink(job)
        self._link(job, current)
        current.overtaken += 1
        job.order = (*current.order[:-1], current.overtaken, math.inf)
        job.parent, job.level = current, current.level + 1
        current.children.append(job)
        # What it needs is paid in advance; `_pop` gives back what it did not use.
        current.slots -= expected * settings.slot_cost
        job.used = -expected
        return job

    def _candidate(self, current: Job[E], now: float) -> Job[E] | None:
        """The job with the best relation of age to size among those that the slots of the current one can pay."""
        affordable = (current.waiting + current.slots) // self._settings.slot_cost
        best, best_score, job = None, 0.0, current.after
        for _ in range(CANDIDATES if affordable > 0 else 0):
            if job is None or job is self._end:
                break
            size, age = job.total + job.unread, now - job.queued + 1
            if not job.children and any(not entry.taken and entry.destination.ready(now) for entry in job.entries):
                if job.waiting + job.unread <= affordable and age / size > best_score:
                    best, best_score = job, age / size
                if age <= best_score and job.level == 0:
                    break  # no younger one can be better
            job = job.after
        return best

    def _pop(self, job: Job[E]) -> None:
        """Take it from the stack of overtaking jobs, if it is there."""
        if job.level <= 0:
            return
        parent = job.parent
        if parent is not None:
            if job.level == parent.level + 1:
                parent.slots -= job.used * self._settings.slot_cost
            parent.children.remove(job)
            parent.children += job.children
        for child in job.children:
            child.parent = parent
        job.children, job.parent, job.level = [], None, 0

    def _link(self, job: Job[E], behind: Job[E]) -> None:
        job.before, job.after = behind.before, behind
        assert job.before is not None
        job.before.after = behind.before = job

    def _unlink(self, job: Job[E]) -> None:
        assert job.before is not None and job.after is not None
        job.before.after, job.after.before = job.after, job.before
        job.before = job.after = None
