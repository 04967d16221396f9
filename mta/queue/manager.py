"""qmgr(8): takes messages from the queue, hands them to the delivery agents and deals with what comes of it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from mta.queue.admission import Admission
from mta.queue.completion import Completion
from mta.queue.deliverers import Agents
from mta.queue.deliveries import Deliveries
from mta.queue.errors import QueueDamaged, QueueError
from mta.queue.routing import Resolver
from mta.queue.settings import ManagerSettings
from mta.queue.store import Queue

logger = logging.getLogger("postfix.qmgr")

ROUND_PAUSE: Final = 0.01
"""Seconds between the beginnings of two rounds: what arrives meanwhile is read in one go. A lone mail does not wait."""
POLL: Final = 5.0
"""Seconds between looks into the incoming queue when nobody says that there is something."""
DRAIN_PATIENCE: Final = 15.0
"""Seconds that deliveries under way may take to end. The next queue manager cannot start before: a server that does not
answer must not keep the mail for all others waiting."""


class Manager:
    """The scheduler. Everything is to be called in the event loop's thread."""

    def __init__(
        self,
        queue: Queue,
        resolver: Resolver,
        agents: Agents,
        completion: Completion,
        settings: ManagerSettings,
        *,
        probe_resolver: Resolver | None = None,
        pickup: Callable[[], Awaitable[bool]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._pickup = pickup
        self._clock = clock
        self.deliveries = Deliveries(queue, resolver, probe_resolver or resolver, agents, completion, settings, clock)
        self.deliveries.on_room = self._may_admit
        self.deliveries.outcomes.on_damage = self._repair
        self._wake = asyncio.Event()
        self._round_began = -math.inf
        self._admission = Admission(queue, self._clock(), settings.maximal_backoff)
        self._next_run = self._clock() + settings.queue_run_delay
        self._draining = False
        self._maildrop = pickup is not None

    # --- requests --------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """New mail is in the queue or the maildrop."""
        self._look()
        self._wake.set()

    def _look(self) -> None:
        self._admission.look()
        self._maildrop = self._pickup is not None

    def flush(self) -> None:
        """Try everything now: deferred mail, due or not, and dead destinations (postqueue -f)."""
        self.deliveries.revive()
        self._admission.flush()
        self.wake()

    def scan_deferred(self) -> None:
        """Look for deferred mail that is due."""
        self._begin_run()
        self._wake.set()

    def flush_site(self, domain: str) -> None:
        """Try the deferred mail for a domain now (postqueue -s, ETRN)."""
        self._admission.flush(domain)
        self.wake()

    def retry(self, queue_id: str) -> None:
        """Try one message now (postqueue -i)."""
        message = self._queue.find(queue_id)
        if message is not None and message.queue != "hold":
            self.deliveries.activate(message, flush=True)

    @property
    def active_ids(self) -> list[str]:
        """Queue ids of the active queue."""
        return self.deliveries.ids

    @property
    def idle(self) -> bool:
        """Nothing is under way and nothing more is known to be due."""
        return not self.deliveries and not self._maildrop and not self._admission.more

    def until_due(self) -> float | None:
        """Seconds until the first queue run that finds deferred mail due; None if there is none. Raises QueueError."""
        due, now = self._queue.next_due(), self._clock()
        if due is None:
            return None
        runs = math.ceil(max(0.0, due - self._next_run) / self._settings.queue_run_delay)
        return max(0.0, self._next_run + runs * self._settings.queue_run_delay - now)

    # --- the main loop ---------------------------------------------------------------------------------------------

    async def run(self, drain: asyncio.Event, *, until_idle: bool = False) -> None:
        """Work until `drain` is set, or until nothing is left to do; then let the deliveries under way end."""
        draining = asyncio.create_task(drain.wait())
        try:
            while not drain.is_set():
                await self._round()
                if until_idle and self.idle:
                    break
                await self._sleep(draining)
        finally:
            self._draining = True
            draining.cancel()
        await self.deliveries.stop(DRAIN_PATIENCE)

    async def abandon(self) -> None:
        """End deliveries in the middle; their messages stay in the queue."""
        self._draining = True
        await self.deliveries.stop(0.0)

    async def _round(self) -> None:
        self._wake.clear()
        self._admission.begin_round()
        self._round_began = asyncio.get_running_loop().time()
        now = self._clock()
        if not 0 < self._next_run - now <= self._settings.queue_run_delay:  # also if the clock was set back
            self._begin_run()
        if self._maildrop and self._pickup is not None:
            self._maildrop = False
            if await self._pickup():
                self.wake()
            self._admission.look()
        try:
            await self._admit()
        except QueueDamaged as error:
            self._repair(str(error))
        except QueueError as error:
            logger.error("%s", error)
        self.deliveries.dispatch()

    def _repair(self, fault: str) -> None:
        """Sequences stay what they were, so what is active goes on; the queue is gone through once more."""
        try:
            self._queue.repair(fault)
        except QueueError as error:
            logger.error("%s", error)
        self._admission = Admission(self._queue, self._clock(), self._settings.maximal_backoff)
        self._wake.set()

    def _begin_run(self) -> None:
        now = self._clock()
        self._next_run = now + self._settings.queue_run_delay
        self._admission.begin_run(now)
        self._look()
        self.deliveries.forget_quiet()
        if not self.deliveries:
            self._queue.compact()

    async def _sleep(self, draining: asyncio.Task[bool]) -> None:
        # The clock may be simulated: waits are short enough to notice that it was moved.
        wait = min(POLL, max(0.0, self._next_run - self._clock()))
        if (at := self.deliveries.next_time()) is not None:
            wait = min(wait, max(0.0, at - self._clock()))
        waking = asyncio.create_task(self._wake.wait())
        try:
            done, _ = await asyncio.wait({waking, draining}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        if not done:
            self._look()
        elif not draining.done():
            await asyncio.sleep(self._round_began + ROUND_PAUSE - asyncio.get_running_loop().time())

    def _may_admit(self) -> None:
        if self._admission.more or self.idle:
            self._wake.set()

    async def _admit(self) -> None:
        """Fill the active queue."""
        limit = self._settings.active_limit
        progress = True
        while progress and (room := limit - len(self.deliveries)) > 0 and not self._draining:
            found, progress = self._admission.portion(room, self.deliveries.count)
            for message, flush in found:
                self.deliveries.activate(message, flush=flush)
            # A long backlog is taken in without holding up deliveries that are under way.
            await asyncio.sleep(0)
