"""A queue manager at work, with agents that do as they are told, for the tests of test_manager*.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mta.address import AddressClass
from mta.delivery.bounce.notices import Notices, NoticeSettings
from mta.delivery.bounce.report import ReportSettings
from mta.delivery.bounce.templates import BUILT_IN
from mta.delivery.request import Request
from mta.delivery.result import Action, Dsn, Result, Status
from mta.delivery.simple import DiscardAgent, ErrorAgent
from mta.message import Submission
from mta.queue import NewMessage, Queue
from mta.queue.completion import Completion
from mta.queue.deliverers import Agents
from mta.queue.manager import Manager
from mta.queue.reading import MessageCorrupt
from mta.queue.settings import ManagerSettings, TransportSettings

SENT = Dsn("2.0.0", "250 2.0.0 Ok", action=Action.RELAYED)
LATER = Dsn("4.2.0", "host said: 450 4.2.0 not now")
NEVER = Dsn("5.1.1", "host said: 550 5.1.1 no such user")
REFUSED = Dsn("4.4.1", "connect to host: Connection refused")


@dataclass
class Route:
    transport: str
    nexthop: str
    recipient: str
    address_class: AddressClass
    error: bool = False


class ByDomain:
    """Each domain is its own next hop."""

    async def resolve(self, address: str, sender: str = "") -> Route:
        domain = address.rpartition("@")[2]
        return Route("smtp", domain, address, AddressClass.LOCAL if domain == "example.org" else AddressClass.DEFAULT)


@dataclass
class FakeAgent:
    """Answers by the recipient's local part: ok, later, never, refused; notes what it got."""

    deliveries: list[tuple[str, list[str]]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    answers: dict[str, Dsn] = field(default_factory=dict)
    content: list[bytes] = field(default_factory=list)

    async def deliver(self, request: Request) -> list[Result]:
        addresses = [entry.recipient.address for entry in request.recipients]
        self.deliveries.append((request.nexthop, addresses))
        try:
            self.content.append(request.read_content())
        except MessageCorrupt:
            return request.all_same(Status.DEFERRED, Dsn("4.3.0", "unreadable"))
        if self.gate is not None:
            await self.gate.wait()
        return [self._result(entry, request) for entry in request.recipients]

    def _result(self, entry, request: Request) -> Result:
        local = entry.recipient.address.partition("@")[0]
        dsn = self.answers.get(local, {"later": LATER, "never": NEVER, "refused": REFUSED}.get(local, SENT))
        status = {"2": Status.SENT, "4": Status.DEFERRED, "5": Status.BOUNCED}[dsn.status[0]]
        return Result(entry, status, dsn, "host", request.times, dsn if dsn is REFUSED else None)

    async def close(self) -> None:
        return


@dataclass
class Bench:
    """A manager at work."""

    queue: Queue
    agent: FakeAgent
    manager: Manager
    drain: asyncio.Event
    clock: Callable[[], float]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.002)

    async def quiet(self) -> None:
        """Until nothing is under way and nothing is due."""
        await self.until(lambda: self.manager.idle)

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)  # type: ignore[attr-defined]
        self.manager.scan_deferred()
        await asyncio.sleep(0)
        await self.quiet()

    def left(self) -> list[str]:
        return [message.queue_id for message in self.queue.messages()]


SETTINGS = ManagerSettings(
    myhostname="mx.example.org",
    maximal_lifetime=5 * 86400.0,
    bounce_lifetime=86400.0,
    delay_warning=4 * 3600.0,
)


@asynccontextmanager
async def managers(queue: Queue, clock: Callable[[], float]) -> AsyncIterator[Callable[..., Bench]]:
    """Starts managers, and ends them."""
    benches: list[tuple[Bench, asyncio.Task[None]]] = []

    def begin(settings: ManagerSettings = SETTINGS, classes: frozenset[str] = frozenset()) -> Bench:
        async def cleanup(submission: Submission) -> NewMessage:
            return NewMessage(
                submission.sender,
                list(submission.recipients),
                submission.received + submission.content,
                queue_id=submission.queue_id,
            )

        report = ReportSettings("mx.example.org")
        texts = {kind: template.text for kind, template in BUILT_IN.items()}
        notices = Notices(
            NoticeSettings(report, "double-bounce@example.org", "example.org", classes, texts=texts),
            cleanup,
            queue.new_id,
            clock,
        )
        agent = FakeAgent()
        agents = Agents(
            {
                "smtp": agent,
                "error": ErrorAgent("error", clock=clock),
                "retry": ErrorAgent("error", retry=True, clock=clock),
                "discard": DiscardAgent("discard", clock=clock),
            },
            {"smtp": TransportSettings(recipient_limit=3, refill_limit=10)},
            agent,
        )
        completion = Completion(queue, notices, settings, clock)
        manager = Manager(queue, ByDomain(), agents, completion, settings, clock=clock)
        loop = asyncio.get_running_loop()
        queue.on_new_mail = lambda: loop.call_soon_threadsafe(manager.wake)
        drain = asyncio.Event()
        bench = Bench(queue, agent, manager, drain, clock)
        benches.append((bench, asyncio.create_task(manager.run(drain))))
        return bench

    yield begin
    for bench, task in benches:
        if bench.agent.gate is not None:
            bench.agent.gate.set()
        bench.drain.set()
        async with asyncio.timeout(10):
            await task
