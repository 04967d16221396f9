"""Messages in the active queue: sorted by route, and handed to delivery agents."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mta.address import quote_822
from mta.delivery.request import Request
from mta.delivery.result import UNAVAILABLE, Dsn, Result, Status, Times, log_result
from mta.queue import clog
from mta.queue.active import Active
from mta.queue.changes import Defer
from mta.queue.completion import Completion
from mta.queue.deliverers import Agents
from mta.queue.destinations import Destination
from mta.queue.message import QueuedMessage, QueuedRecipient, Trace
from mta.queue.outcomes import Outcomes
from mta.queue.reading import MessageCorrupt
from mta.queue.refill import Refill
from mta.queue.routing import Resolver, routes
from mta.queue.settings import ManagerSettings
from mta.queue.store import Queue
from mta.queue.transport import Transport

logger = logging.getLogger("postfix.qmgr")

SUSPENDED: Final = "delivery temporarily suspended: "


@dataclass(slots=True)
class Entry:
    """One delivery: some recipients of one message to one next hop."""

    active: Active
    recipients: Sequence[QueuedRecipient]
    nexthop: str


class Deliveries:
    """The active queue. Everything is to be called in the event loop's thread."""

    def __init__(
        self,
        queue: Queue,
        resolver: Resolver,
        probe_resolver: Resolver,
        agents: Agents,
        completion: Completion,
        settings: ManagerSettings,
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._resolver = resolver
        self._probe_resolver = probe_resolver
        self._agents = agents
        self._settings = settings
        self._clock = clock
        self._transports: dict[str, Transport[Entry]] = {}
        self._active: dict[int, Active] = {}
        self._domains: Counter[str] = Counter()
        self._tasks: set[asyncio.Future[None]] = set()
        self._stopped = False
        self.on_room: Callable[[], None] = lambda: None
        """Called when a message has left the active queue."""
        self._refill = Refill(queue, settings, clock)
        self.outcomes = Outcomes(queue, completion)
        self.outcomes.on_written = self.dispatch

    @property
    def ids(self) -> list[str]:
        """Queue ids of the active queue."""
        return [active.message.queue_id for active in self._active.values()]

    def __len__(self) -> int:
        """Messages in the active queue."""
        return len(self._active)

    def count(self, domain: str) -> int:
        """Messages in the active queue whose first recipient is there."""
        return self._domains[domain]

    def revive(self) -> None:
        """Forget which destinations and transports are dead."""
        for transport in self._transports.values():
            transport.revive_all()

    def forget_quiet(self) -> None:
        """Forget destinations that nothing has to be known of."""
        for transport in self._transports.values():
            transport.forget_quiet(self._clock())

    def next_time(self) -> float | None:
        """When a delivery may start that a rate delay holds back; None if there is none."""
        times = [transport.next_time(self._clock()) for transport in self._transports.values()]
        return min((at for at in times if at is not None), default=None)

    async def stop(self, patience: float) -> None:
        """Start nothing more; after some seconds end what is still under way. Its messages stay in the queue."""
        self._stopped = True
        deadline = asyncio.get_running_loop().time() + patience
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- one message -----------------------------------------------------------------------------------------------

    def activate(self, message: QueuedMessage, *, flush: bool = False) -> None:
        """`flush`: try it also where its destination is dead for now."""
        if message.sequence in self._active:
            return
        active = self._active[message.sequence] = Active.of(
            message, self._clock(), confirms=message.warned and self._settings.confirm_delay_cleared
        )
        self._domains[active.domain] += 1
        if message.fault:
            active.fault = message.fault
            self._spawn(active, self._complete(active))
            return
        logger.info(
            "%s: from=<%s>, size=%d, nrcpt=%d (queue active)",
            message.queue_id,
            quote_822(message.sender) if message.sender else "",
            message.size,
            len(active.to_deliver) + message.unread,
        )
        self._refill.hold(active, len(active.to_deliver))
        work = self._read_more(active, flush=flush) if message.unread else None
        self._spawn(active, work or self._sort(active, active.to_deliver, flush=flush))

    def _spawn(self, active: Active, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._guarded(active, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, active: Active, work: Coroutine[None, None, None]) -> None:
        """A fault of the program costs one message its turn, not its life, and the others nothing."""
        try:
            await work
        except Exception:
            logger.exception("%s: internal error; the message is put off", active.message.queue_id)
            later = self._clock() + self._settings.maximal_backoff
            await self.outcomes.write([Defer(active.message.sequence, later)], active.message.queue_id)
            self._forget(active)

    def _forget(self, active: Active) -> None:
        if self._active.pop(active.message.sequence, None) is not None:
            self._refill.hold(active, -active.held)
            self._domains[active.domain] -= 1
            if not self._domains[active.domain]:
                del self._domains[active.domain]
            self.on_room()

    async def _read_more(self, active: Active, *, flush: bool = False) -> None:
        await self._sort(active, self._refill.read(active), flush=flush)

    async def _ended(self, active: Active) -> None:
        """No delivery is under way or waits."""
        if active.message.unread and not active.fault:
            await self.outcomes.write([active.progress(active.unwritten)], active.message.queue_id)
            active.unwritten.clear()
            # Not awaited: where nothing can be delivered, this comes to pass for each portion of a large message.
            self._spawn(active, self._read_more(active))
        else:
            await self._complete(active)

    async def _sort(self, active: Active, fresh: Sequence[QueuedRecipient], *, flush: bool = False) -> None:
        """Queue a delivery for each route."""
        if active.message.forced_expire:
            active.give_up(fresh, "4.7.0", "message is administratively expired")
            self._refill.hold(active, -len(fresh))
            await self._ended(active)
            return
        probe = active.message.is_probe and active.message.trace & Trace.MTA_VERIFY
        resolver = self._probe_resolver if probe else self._resolver
        active.entries += 1  # so that a delivery that ends meanwhile is not taken for the last
        found = await routes(active.message, fresh, resolver, self._settings)
        now, jobs = self._clock(), active.jobs
        for route, recipients in found.items():
            transport = self._transport(route.transport)
            limit = transport.settings.recipient_limit
            recipients.sort(key=_by_domain)
            if route.transport not in jobs:
                jobs[route.transport] = transport.jobs.new(active.since)
            # Transports that take one recipient at a time know no other destination than him (qmgr_message_resolve).
            by_recipient = limit == 1
            for start in range(0, len(recipients), limit or len(recipients)):
                portion = recipients[start : start + (limit or len(recipients))]
                name = portion[0].recipient.address.casefold() if by_recipient else route.nexthop.casefold()
                why = None if flush else transport.dead(name, now)
                if why is not None:
                    self._suspend(active, portion, why)
                    continue
                active.entries += 1
                destination = transport.destination(name, route.nexthop)
                if flush:
                    transport.revive(destination)
                transport.add(destination, Entry(active, portion, route.nexthop), jobs[route.transport])
                clog.warn(transport, destination, len(self._active), self._settings, now)
        for job in jobs.values():
            job.unread = active.message.unread
        active.entries -= 1
        if active.entries == 0:
            await self._ended(active)
        else:
            self.dispatch()

    def _transport(self, name: str) -> Transport[Entry]:
        found = self._transports.get(name)
        if found is None:
            found = self._transports[name] = Transport(name, self._agents.settings(name))
        return found

    def _suspend(self, active: Active, recipients: Iterable[QueuedRecipient], why: Dsn) -> None:
        """Defer without an attempt: the destination is dead for now. The log line is error(8)'s."""
        dsn = why if why.reason.startswith((SUSPENDED, UNAVAILABLE)) else why.with_reason(f"{SUSPENDED}{why.reason}")
        times = Times(active.message.arrival, active.since)
        results = [Result(recipient, Status.DEFERRED, dsn, "none", times) for recipient in recipients]
        active.note(results)
        positions = {recipient.position for recipient in recipients}
        active.unwritten |= positions
        self._refill.hold(active, -len(positions))
        for result in results:
            log_result(logging.getLogger("postfix.error"), active.message, result, self._clock())

    # --- deliveries ------------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Start what may start; transports and, within them, destinations take turns."""
        started = not self.outcomes.stuck
        while started and not self._stopped:
            started = False
            now = self._clock()
            for transport in self._transports.values():
                turn = transport.next_turn(now)
                if turn is not None:
                    started = True
                    self._spawn(turn[1].active, self._deliver(transport, *turn))

    async def _deliver(self, transport: Transport[Entry], destination: Destination[Entry], entry: Entry) -> None:
        active = entry.active
        request = Request(
            message=active.message,
            recipients=entry.recipients,
            read_content=lambda: self._read(active),
            nexthop=entry.nexthop,
            times=Times(active.message.arrival, active.since, self._clock()),
            more_to_come=lambda: transport.busy_with(destination, self._clock()),
        )
        try:
            results = await self._ask(transport, request)
            active.note(results)
            self._feedback(transport, destination, results)
        finally:
            transport.finished(destination, self._clock())
        active.entries -= 1
        positions = {result.recipient.position for result in results}
        self._refill.hold(active, -len(positions))
        if active.entries == 0:
            active.unwritten |= positions
            await self._ended(active)
        else:
            self.outcomes.note(active, positions)
            if self._refill.wanted(active, transport.settings):
                await self._read_more(active)
        self.dispatch()

    async def _ask(self, transport: Transport[Entry], request: Request) -> list[Result]:
        """A fault in an agent is one of the transport: these recipients are tried again (qmgr_deliver_update)."""
        try:
            return await self._agents.agent(transport.name).deliver(request)
        except Exception:
            logger.exception("transport %s failure", transport.name)
        results = request.all_same(Status.DEFERRED, Dsn("4.3.0", "unknown mail transport error"), site_failure=True)
        for result in results:
            log_result(logging.getLogger("postfix.error"), request.message, result, self._clock())
        return results

    def _read(self, active: Active) -> bytes:
        if active.content is None:
            try:
                active.content = self._queue.content(active.message)
            except MessageCorrupt as error:
                active.fault = str(error)
                raise
        return active.content

    def _feedback(
        self, transport: Transport[Entry], destination: Destination[Entry], results: Sequence[Result]
    ) -> None:
        why = next((result.site_failure for result in results if result.site_failure is not None), None)
        if why is None:
            transport.good(destination)
            return
        now, settings = self._clock(), self._settings
        if why.reason == UNAVAILABLE:
            left = transport.throttle(why, now, settings.transport_retry)
        elif transport.bad(destination, why, now, settings.minimal_backoff):
            left = transport.take_all(destination)
        else:
            return
        for entry in left:
            self._suspend(entry.active, entry.recipients, why)
            entry.active.entries -= 1
            if entry.active.entries == 0:
                self._spawn(entry.active, self._ended(entry.active))

    async def _complete(self, active: Active) -> None:
        await self.outcomes.complete(active)
        self._forget(active)


def _by_domain(recipient: QueuedRecipient) -> tuple[str, str]:
    """Recipients of one domain go together where a limit divides them (qmgr_message_sort)."""
    address = recipient.recipient.address
    return address.rpartition("@")[2].casefold(), address
