"""All destinations of one transport, and which delivery of it starts next (qmgr_job_entry_select)."""

from __future__ import annotations

import heapq
import itertools
from typing import Final, Generic, TypeVar

from mta.delivery.result import Dsn
from mta.queue.destinations import BACK_TO_BACK, Destination, Waiting
from mta.queue.jobs import Job, JobList
from mta.queue.settings import TransportSettings

E = TypeVar("E")

QUIET: Final = 5.0
"""Seconds without any delivery after which a destination is forgotten."""
RESTING: Final[tuple[tuple[float, ...], int]] = ((), -1)
"""Stands for the offer of a destination that pauses."""


class Transport(Generic[E]):
    """Entries wait in their destination. Of those destinations that may take one more, the one with the foremost job
    is next; a job with several goes round among them."""

    def __init__(self, name: str, settings: TransportSettings) -> None:
        self.name = name
        self.settings = settings
        self.busy = 0
        self.jobs: JobList[E] = JobList(settings)
        self._destinations: dict[str, Destination[E]] = {}
        self._offers: list[tuple[tuple[float, ...], int, int, Destination[E]]] = []
        """A heap of destinations that could take one more, with the order of the job; some stand there in vain."""
        self._resting: list[Destination[E]] = []
        """With something waiting, in a pause that destination_rate_delay wants."""
        self._count = itertools.count(1)
        self._unavailable: Dsn | None = None
        """Why nothing is delivered at all for now."""
        self._unavailable_from = self._unavailable_until = 0.0
        self._resting_from = self._resting_until = 0.0
        """transport_rate_delay"""

    def __len__(self) -> int:
        """Destinations that are known."""
        return len(self._destinations)

    def destination(self, name: str, nexthop: str) -> Destination[E]:
        """The destination of that name, a fresh one if it is not known."""
        found = self._destinations.get(name)
        if found is None:
            found = self._destinations[name] = Destination(name, nexthop, self.settings)
        return found

    def dead(self, name: str, now: float) -> Dsn | None:
        """Why the destination is not to be tried; None if it may be."""
        if self._unavailable is not None:
            if self._unavailable_from <= now < self._unavailable_until:
                return self._unavailable
            self._unavailable = None
        found = self._destinations.get(name)
        return found.why_dead(now) if found else None

    def revive_all(self) -> None:
        """Forget who is dead (postqueue -f)."""
        self._unavailable = None
        for found in self._destinations.values():
            if found.dead is not None:
                found.revive()

    def revive(self, destination: Destination[E]) -> None:
        """Try it, dead or not."""
        self._unavailable = None
        if destination.dead is not None:
            destination.revive()

    def add(self, destination: Destination[E], entry: E, job: Job[E]) -> None:
        """Something waits for delivery there. The destination is not dead."""
        waiting = Waiting(entry, job, destination)
        self.jobs.add(job, waiting)
        destination.count += 1
        self._push(waiting)

    def take_all(self, destination: Destination[E]) -> list[E]:
        """Everything that waits there, taken away."""
        found = list(destination.all_waiting())
        for waiting in found:
            self.jobs.removed(waiting)
        destination.heap.clear()
        destination.count = 0
        return [waiting.entry for waiting in found]

    def next_turn(self, now: float) -> tuple[Destination[E], E] | None:
        """The next delivery to start, or None. Marks it as busy."""
        limit = 1 if self.settings.transport_rate_delay else self.settings.process_limit
        if (limit and self.busy >= limit) or self._resting_from <= now < self._resting_until:
            return None
        self._wake_resting(now)
        destination = self._foremost(now)
        if destination is None:
            return None
        overtaking = self.jobs.overtaking(destination.first().job, now)
        if overtaking is not None:
            for waiting in overtaking.entries:
                if not waiting.taken:
                    self._push(waiting)
            self._offer(destination)
            destination = self._foremost(now) or destination
        waiting = destination.first()
        heapq.heappop(destination.heap)
        destination.count -= 1
        destination.busy += 1
        destination.turn = next(self._count)
        self.busy += 1
        self.jobs.selected(waiting)
        self._offer(destination)
        return destination, waiting.entry

    def next_time(self, now: float) -> float | None:
        """When something that is slowed down by a rate delay may start; None if nothing is."""
        times = [found.resting_until for found in self._resting if found.count]
        if self._resting_from <= now < self._resting_until and self._offers:
            times.append(self._resting_until)
        return min(times, default=None)

    def finished(self, destination: Destination[E], now: float) -> None:
        """A delivery ended, well or not; after `good` or `bad`."""
        destination.busy -= 1
        self.busy -= 1
        if self.settings.transport_rate_delay:
            self._resting_from, self._resting_until = now, now + self.settings.transport_rate_delay
        destination.rest(now)
        self._offer(destination)

    def throttle(self, why: Dsn, now: float, seconds: float) -> list[E]:
        """Nobody is there to deliver: leave the transport alone for a while. All that waits for it, taken away."""
        self._unavailable, self._unavailable_from, self._unavailable_until = why, now, now + seconds
        return [entry for found in self._destinations.values() for entry in self.take_all(found)]

    def good(self, destination: Destination[E]) -> None:
        """The destination answered."""
        self._unavailable = None
        destination.good()
        self._offer(destination)

    def bad(self, destination: Destination[E], why: Dsn, now: float, dead_for: float) -> bool:
        """The destination as a whole failed. True if it is now dead; then the caller takes all that waits for it."""
        return destination.bad(why, now, dead_for)

    def busy_with(self, destination: Destination[E], now: float) -> bool:
        """Whether a connection is worth keeping: more waits, goes on beside this, or went just before."""
        return bool(destination.count) or destination.busy > 1 or now - destination.last_done <= BACK_TO_BACK

    def forget_quiet(self, now: float) -> None:
        """Of a destination that was quiet for a while nothing has to be known, unless it is dead."""
        for found in list(self._destinations.values()):
            quiet = found.idle and not 0 <= now - found.last_done <= QUIET and not found.resting(now)
            if quiet and found.why_dead(now) is None:
                del self._destinations[found.name]

    def _push(self, waiting: Waiting[E]) -> None:
        """Put an entry where its job stands."""
        heapq.heappush(waiting.destination.heap, (waiting.job.order, next(self._count), waiting))
        self._offer(waiting.destination)

    def _offer(self, destination: Destination[E]) -> None:
        """Let the destination take part in the choice, at the place of its foremost job."""
        if not destination.count or destination.busy >= destination.window or destination.dead is not None:
            return
        if destination.offer is RESTING:
            return
        offer = (destination.first().job.order, destination.turn)
        if destination.offer != offer:
            destination.offer = offer
            heapq.heappush(self._offers, (*offer, next(self._count), destination))

    def _foremost(self, now: float) -> Destination[E] | None:
        while self._offers:
            order, turn, _, destination = heapq.heappop(self._offers)
            if destination.offer != (order, turn):
                continue  # it stands elsewhere by now
            destination.offer = None
            if destination.count and destination.resting(now):
                destination.offer = RESTING
                self._resting.append(destination)
            elif not destination.ready(now):
                continue
            elif (destination.first().job.order, destination.turn) == (order, turn):
                return destination
            else:
                self._offer(destination)
        return None

    def _wake_resting(self, now: float) -> None:
        if self._resting and any(not found.resting(now) for found in self._resting):
            resting, self._resting = self._resting, []
            for found in resting:
                if found.resting(now):
                    self._resting.append(found)
                else:
                    found.offer = None
                    self._offer(found)
