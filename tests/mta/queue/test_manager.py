"""The queue manager with delivery agents that do as they are told, and a clock that is turned by hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from mta.address import AddressClass
from mta.delivery.bounce.notices import Notices, NoticeSettings
from mta.delivery.bounce.report import ReportSettings
from mta.delivery.bounce.templates import BUILT_IN
from mta.delivery.request import Request
from mta.delivery.result import Action, Dsn, Result, Status
from mta.delivery.simple import DiscardAgent, ErrorAgent
from mta.message import Submission
from mta.queue import NewMessage, Notify, Queue, QueueName, Recipient, layout
from mta.queue.changes import Move
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


@pytest.fixture
async def start(queue: Queue, clock) -> AsyncIterator[Callable[..., Bench]]:
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
            {"smtp": TransportSettings(recipient_limit=3)},
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


async def test_delivered_mail_leaves_the_queue(start, queue, letter, caplog) -> None:
    caplog.set_level(logging.INFO)
    bench = start()
    queue_id = await queue.put(letter("ok@a.example", "ok@b.example"))
    await bench.until(lambda: not bench.left())
    assert sorted(bench.agent.deliveries) == [("a.example", ["ok@a.example"]), ("b.example", ["ok@b.example"])]
    assert f"{queue_id}: from=<alice@example.org>, size=" in caplog.text
    assert ", nrcpt=2 (queue active)" in caplog.text
    assert f"{queue_id}: removed" in caplog.text


async def test_recipients_of_one_next_hop_go_together_up_to_the_limit(start, queue, letter) -> None:
    bench = start()
    await queue.put(letter(*(f"ok{n}@a.example" for n in range(7))))
    await bench.until(lambda: not bench.left())
    assert [len(addresses) for _, addresses in bench.agent.deliveries] == [3, 3, 1]


async def test_mail_that_was_there_before_is_delivered(start, queue, letter) -> None:
    for _ in range(250):
        queue.put_blocking(letter("ok@a.example"))
    bench = start()
    await bench.until(lambda: not bench.left())
    assert len(bench.agent.deliveries) == 250


async def test_held_mail_is_not_touched(start, queue, letter) -> None:
    held = await queue.put(letter(hold=True))
    bench = start()
    await bench.quiet()
    bench.manager.flush()
    await bench.quiet()
    assert bench.left() == [held]
    assert bench.agent.deliveries == []


async def test_deferred_recipients_only_are_tried_again(start, queue, letter) -> None:
    bench = start()
    queue_id = await queue.put(letter("ok@a.example", "later@a.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    found = queue.find(queue_id)
    assert found is not None and found.queue is QueueName.DEFERRED
    assert [(entry.recipient.address, entry.dsn, entry.reason) for entry in found.recipients] == [
        ("later@a.example", "4.2.0", LATER.reason)
    ]
    bench.agent.deliveries.clear()
    bench.agent.answers["later"] = SENT
    await bench.advance(299)
    assert bench.agent.deliveries == []
    await bench.advance(2)
    assert bench.agent.deliveries == [("a.example", ["later@a.example"])]
    assert bench.left() == []


async def test_waits_grow_with_the_age_up_to_the_maximum(start, queue, letter, clock) -> None:
    bench = start()
    queue_id = await queue.put(letter("later@a.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    waits = []
    for _ in range(8):
        found = queue.find(queue_id)
        assert found is not None
        waits.append(found.next_attempt - clock.now)
        await bench.advance(waits[-1])
    assert waits[:6] == pytest.approx([300, 300, 600, 1200, 2400, 4000])
    assert waits[6:] == [4000, 4000]


async def test_flush_tries_what_is_not_due(start, queue, letter) -> None:
    bench = start()
    await queue.put(letter("later@a.example"))
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 1)
    bench.manager.flush()
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 2)


async def test_one_message_can_be_asked_for(start, queue, letter) -> None:
    bench = start()
    first = await queue.put(letter("later@a.example"))
    await queue.put(letter("later@b.example"))
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 2)
    bench.agent.deliveries.clear()
    bench.manager.retry(first)
    await bench.until(lambda: bench.manager.idle)
    assert bench.agent.deliveries == [("a.example", ["later@a.example"])]


async def test_a_message_that_is_asked_for_is_tried_even_if_its_host_is_dead(start, queue, letter) -> None:
    bench = start()
    for _ in range(10):
        queue.put_blocking(letter("refused@dead.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    bench.agent.deliveries.clear()
    bench.manager.retry(bench.left()[-1])
    await bench.until(lambda: bench.manager.idle)
    assert bench.agent.deliveries == [("dead.example", ["refused@dead.example"])]


async def test_the_mail_for_a_domain_can_be_asked_for(start, queue, letter) -> None:
    """ETRN, postqueue -s: in any number, any case, and nothing else."""
    bench = start()
    for number in range(250):
        queue.put_blocking(letter(f"later@{'A' if number % 2 else 'a'}_x.example"))
    for other in ("b.example", "sub.a_x.example", "abx.example", "xa_x.example"):
        queue.put_blocking(letter(f"later@{other}"))
    queue.put_blocking(letter("later@c.example", "later@a_x.example"))
    queue.put_blocking(letter("x\udcff@a_x.example"))
    bench.agent.answers["x\udcff"] = LATER
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) >= 256)
    bench.agent.deliveries.clear()
    bench.manager.flush_site("a_X.example")
    await bench.until(lambda: bench.manager.idle)
    domains = Counter(nexthop.lower() for nexthop, _ in bench.agent.deliveries)
    assert domains == {"a_x.example": 252, "c.example": 1}


async def test_a_clock_that_is_set_back_strands_nothing(start, queue, letter, clock) -> None:
    bench = start()
    await queue.put(letter("later@a.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    bench.agent.answers["later"] = SENT
    clock.advance(-30 * 86400)
    bench.manager.wake()
    await bench.until(lambda: not bench.left())


async def test_deferred_transports_are_left_alone(start, queue, letter, caplog) -> None:
    caplog.set_level(logging.INFO)
    bench = start(replace(SETTINGS, defer_transports=frozenset({"smtp"})))
    await queue.put(letter("ok@a.example"))
    await queue.put(letter("ok@a.example", filter="smtp:filter.example"))
    await bench.until(lambda: bench.manager.idle and caplog.text.count("(deferred transport)") == 2)
    assert bench.agent.deliveries == []
    assert len(bench.left()) == 2


async def test_a_failed_recipient_is_reported_to_the_sender(start, queue, letter) -> None:
    bench = start()
    await queue.put(letter("never@a.example", "ok@a.example"))
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 2)
    assert bench.left() == []
    assert bench.agent.deliveries[1] == ("example.org", ["alice@example.org"])
    report = bench.agent.content[1]
    assert b"Final-Recipient: rfc822; never@a.example\r\n" in report
    assert b"ok@a.example" not in report
    assert b"Subject: test" in report


async def test_notify_never_gets_no_report(start, queue) -> None:
    bench = start()
    await queue.put(NewMessage("alice@x", [Recipient("never@a", notify=Notify.NEVER)], b"Subject: x\r\n\r\n"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    assert len(bench.agent.deliveries) == 1
    assert bench.left() == []


async def test_success_is_reported_on_request(start, queue) -> None:
    bench = start()
    to = [Recipient("ok@a", notify=Notify.SUCCESS), Recipient("ok2@a")]
    await queue.put(NewMessage("alice@x", to, b"Subject: x\r\n\r\n"))
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 2)
    report = bench.agent.content[1]
    assert b"Subject: Successful Mail Delivery Report" in report
    assert b"Action: relayed" in report
    assert b"ok2@a" not in report


async def test_a_bounce_that_bounces_ends_quietly(start, queue, letter) -> None:
    bench = start()
    await queue.put(letter("never@a.example", sender=""))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    assert len(bench.agent.deliveries) == 1
    assert bench.left() == []


async def test_a_bounce_that_bounces_goes_to_the_postmaster_if_wanted(start, queue, letter) -> None:
    bench = start(classes=frozenset({"2bounce"}))
    await queue.put(letter("never@a.example", sender=""))
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 2)
    assert bench.agent.deliveries[1][1] == ["postmaster"]
    assert b"Subject: Postmaster Copy: Undelivered Mail" in bench.agent.content[1]


async def test_a_notice_about_a_notice_is_not_written(start, queue, letter, caplog) -> None:
    bench = start(classes=frozenset({"bounce", "2bounce"}))
    await queue.put(letter("never@a.example", sender="double-bounce@example.org"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    assert bench.left() == []
    assert len(bench.agent.deliveries) == 1
    assert "undeliverable postmaster notification discarded" in caplog.text


async def test_mail_to_the_double_bounce_address_is_swallowed(start, queue, letter) -> None:
    bench = start()
    await queue.put(letter("double-bounce@example.org"))
    await bench.until(lambda: not bench.left())
    assert bench.agent.deliveries == []


async def test_a_warning_after_four_hours_once(start, queue, letter) -> None:
    bench = start()
    bench.agent.answers["alice"] = SENT
    await queue.put(letter("later@a.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    for _ in range(30):
        await bench.advance(1000)
    warnings = [content for content in bench.agent.content if b"Delayed Mail (still being retried)" in content]
    assert len(warnings) == 1
    assert b"Action: delayed" in warnings[0]
    assert b"Will-Retry-Until: " in warnings[0]


async def test_expired_mail_returns_to_its_sender(start, queue, letter, clock, caplog) -> None:
    caplog.set_level(logging.INFO)
    bench = start(settings=ManagerSettings(myhostname="mx", maximal_lifetime=86400.0))
    queue_id = await queue.put(letter("later@a.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    await bench.advance(86399)
    assert bench.left() == [queue_id]
    await bench.advance(4001)
    assert bench.left() == []
    assert f"{queue_id}: from=<alice@example.org>, status=expired, returned to sender" in caplog.text
    report = bench.agent.content[-1]
    assert b"Undelivered Mail Returned to Sender" in report
    assert b"Action: failed" in report
    assert b"Status: 4.2.0" in report


async def test_an_old_message_gets_one_attempt_before_it_expires(start, queue, letter, clock) -> None:
    queue.put_blocking(letter("ok@a.example"))
    clock.advance(30 * 86400)
    bench = start()
    await bench.until(lambda: not bench.left())
    assert bench.agent.deliveries == [("a.example", ["ok@a.example"])]


async def test_a_dead_destination_is_left_alone_for_a_while(start, queue, letter, caplog) -> None:
    caplog.set_level(logging.INFO)
    bench = start()
    for _ in range(40):
        queue.put_blocking(letter("refused@dead.example"))
    await queue.put(letter("ok@fine.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    to_dead = [nexthop for nexthop, _ in bench.agent.deliveries if nexthop == "dead.example"]
    assert len(to_dead) < 40
    assert ("fine.example", ["ok@fine.example"]) in bench.agent.deliveries
    assert "status=deferred (delivery temporarily suspended: connect to host: Connection refused)" in caplog.text
    assert len(bench.left()) == 40
    bench.agent.answers["refused"] = SENT
    await bench.advance(601)
    assert bench.left() == []


async def test_a_transport_that_nobody_serves_is_left_alone_for_a_minute(start, queue, letter, caplog) -> None:
    """transport_retry_time; the log does not say `suspended` (qmgr_defer_transport)."""
    caplog.set_level(logging.INFO)
    bench = start()
    bench.agent.answers["ok"] = unavailable = Dsn("4.3.0", "mail transport unavailable")
    made = FakeAgent._result
    bench.agent._result = lambda entry, request: replace(made(bench.agent, entry, request), site_failure=unavailable)
    await queue.put(letter("ok@first.example"))
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 1)
    for number in range(20):
        queue.put_blocking(letter(f"ok@{number}.example"))
    bench.manager.wake()
    await bench.until(lambda: bench.manager.idle and caplog.text.count("(mail transport unavailable)") == 20)
    assert len(bench.agent.deliveries) == 1
    assert all(
        entry.reason == "mail transport unavailable" for message in queue.messages() for entry in message.recipients
    )
    bench.clock.advance(61)
    del bench.agent._result
    bench.agent.answers["ok"] = SENT
    await queue.put(letter("ok@later.example"))
    await bench.until(lambda: len(bench.left()) == 21 and bench.manager.idle)


async def test_draining_lets_deliveries_end_and_starts_no_more(start, queue, letter) -> None:
    bench = start()
    bench.agent.gate = asyncio.Event()
    for _ in range(10):
        await queue.put(letter("ok@a.example"))
    await bench.until(lambda: len(bench.agent.deliveries) == 5)
    bench.drain.set()
    bench.agent.gate.set()
    await bench.until(lambda: len(bench.left()) == 5)
    assert len(bench.agent.deliveries) == 5


async def test_a_recipient_that_failed_before_a_crash_is_still_reported(start, queue, letter) -> None:
    from mta.queue.changes import Outcome, Progress

    queue_id = queue.put_blocking(letter("never@a.example", "ok@a.example"))
    found = queue.find(queue_id)
    assert found is not None
    failed = Outcome("5.1.1", NEVER.reason, "failed")
    queue.change_blocking(Progress(found.sequence, done=[1], told={0: failed}))
    bench = start()
    await bench.until(lambda: bench.manager.idle and not bench.left() and bool(bench.agent.deliveries))
    assert bench.agent.deliveries == [("example.org", ["alice@example.org"])]
    assert b"never@a.example" in bench.agent.content[0]


FRUGAL = replace(SETTINGS, recipient_limit=30, recipient_minimum=4, refill_limit=10)


async def test_recipients_of_large_messages_are_read_by_and_by(start, queue, letter) -> None:
    """Each gets his copy once, and never are many more in memory than qmgr_message_recipient_limit says."""
    names = [f"ok{number}@{'abc'[number % 3]}.example" for number in range(200)]
    for _ in range(3):
        queue.put_blocking(letter(*names))
    bench = start(FRUGAL)
    held = []

    def look() -> bool:
        held.append(bench.manager.deliveries._recipients)
        return not bench.left()

    await bench.until(look)
    assert max(held) <= 30 + 3 * 10
    assert bench.manager.deliveries._recipients == 0
    reached = Counter(name for _, addresses in bench.agent.deliveries for name in addresses)
    assert reached == dict.fromkeys(names, 3)


async def test_of_a_large_message_each_outcome_is_kept(start, queue, letter, clock) -> None:
    kinds = ("ok", "later", "never", "refused")
    bench = start(replace(FRUGAL, delay_warning=0))
    await queue.put(letter(*(f"{kinds[number % 4]}@{number}.example" for number in range(240))))
    await bench.until(lambda: bench.manager.idle and b"multipart/report" in b"".join(bench.agent.content))
    [left] = queue.messages()
    assert sorted(entry.recipient.address.partition("@")[0] for entry in left.recipients) == (
        ["later"] * 60 + ["refused"] * 60
    )
    assert all(entry.reason for entry in left.recipients)
    [notice] = [content for content in bench.agent.content if b"multipart/report" in content]
    assert notice.count(b"Final-Recipient: rfc822; never@") == 60
    bench.agent.answers |= {"later": SENT, "refused": SENT}
    bench.agent.deliveries.clear()
    await bench.advance(601)
    assert bench.left() == []
    assert sum(len(addresses) for nexthop, addresses in bench.agent.deliveries) == 120


async def test_a_large_message_to_a_dead_host_is_put_off_portion_by_portion(start, queue, letter) -> None:
    bench = start(FRUGAL)
    for _ in range(10):
        queue.put_blocking(letter("refused@dead.example"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    queue_id = await queue.put(letter(*(f"x{number}@dead.example" for number in range(3000))))
    async with asyncio.timeout(20):
        while (found := queue.find(queue_id)) is None or found.queue is not QueueName.DEFERRED:
            await asyncio.sleep(0.02)
    assert len(found.recipients) == 3000
    assert all(entry.reason.startswith("delivery temporarily suspended") for entry in found.recipients)


async def test_a_large_torn_message_is_set_aside_with_all_recipients(start, queue, letter) -> None:
    torn = queue.put_blocking(letter(*(f"ok{number}@a.example" for number in range(100)), body="x" * 200_000))
    (queue.directory / layout.BODIES / torn).write_bytes(b"Subject: torn")
    bench = start(FRUGAL)
    await bench.until(lambda: not bench.left())
    saved = (queue.directory / layout.CORRUPT / torn).read_bytes()
    assert saved.count(b"@a.example") == 100


async def test_no_more_messages_are_active_than_the_limit_says(start, queue, letter) -> None:
    for number in range(60):
        queue.put_blocking(letter(f"{'ok' if number % 2 else 'later'}@a.example"))
    bench = start(replace(SETTINGS, active_limit=7))
    most = 0

    def look(over: Callable[[], bool]) -> bool:
        nonlocal most
        most = max(most, len(bench.manager.active_ids))
        return over()

    await bench.until(lambda: look(lambda: bench.manager.idle and len(bench.left()) == 30))
    bench.agent.answers["later"] = SENT
    for _ in range(30):
        queue.put_blocking(letter("ok@a.example"))
    bench.manager.flush()
    await bench.until(lambda: look(lambda: bench.manager.idle and not bench.left()))
    assert 5 <= most <= 7 + 3


@pytest.mark.parametrize("helpful", [300.0, 0.0])
async def test_a_destination_that_fills_the_active_queue_is_warned_of(start, queue, letter, caplog, helpful) -> None:
    bench = start(replace(SETTINGS, active_limit=50, clog_warn=helpful))
    bench.agent.gate = asyncio.Event()
    for number in range(20):
        queue.put_blocking(letter("ok@clogged.example" if number % 2 else f"ok@{number}.example"))
    queue.put_blocking(letter("ok@clogged.example"))
    bench.manager.wake()
    await bench.until(lambda: len(bench.manager.active_ids) == 21 and len(bench.agent.deliveries) == 15)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == (
        [
            "mail for clogged.example is using up 11 of 21 active queue entries",
            "this may slow down other mail deliveries",
            "you may need a separate master.cf transport for clogged.example",
            "please avoid flushing the whole queue when you have",
            "lots of deferred mail, that is bad for performance",
            "to turn off these warnings specify: qmgr_clog_warn_time = 0",
        ]
        if helpful
        else []
    )


async def test_a_slow_recipient_does_not_hold_up_the_rest_of_a_large_message(start, queue, letter) -> None:
    bench = start(FRUGAL)
    slow, real = asyncio.Event(), FakeAgent.deliver

    async def deliver(request: Request) -> list[Result]:
        if request.nexthop == "slow.example":
            await slow.wait()
        return await real(bench.agent, request)

    bench.agent.deliver = deliver
    await queue.put(letter("ok@slow.example", *(f"ok@{number}.example" for number in range(100))))
    await bench.until(lambda: len(bench.agent.deliveries) == 100)
    slow.set()
    await bench.until(lambda: not bench.left())
    assert len(bench.agent.deliveries) == 101


async def test_a_torn_message_is_set_aside_and_the_others_go(start, queue, letter, caplog) -> None:
    torn = queue.put_blocking(letter("ok@a.example", body="x" * 200_000))
    (queue.directory / layout.BODIES / torn).write_bytes(b"Subject: torn")
    queue.put_blocking(letter("ok@a.example"))
    bench = start()
    await bench.until(lambda: not bench.left())
    saved = (queue.directory / layout.CORRUPT / torn).read_bytes()
    assert b'"fault": "its content is torn"' in saved
    assert saved.endswith(b"Subject: torn")
    assert "moved to corrupt queue" in caplog.text


@pytest.mark.parametrize("damage", ["envelope = '[]'", "queue = 'junk'", "queue_id = '../x'", "arrival = 1e300"])
async def test_a_damaged_row_is_set_aside_and_the_others_go(start, queue, letter, caplog, damage: str) -> None:
    queue.put_blocking(letter("ok@a.example"))
    with contextlib.closing(sqlite3.connect(queue.directory / layout.DATABASE)) as raw, raw:
        raw.execute(f"UPDATE messages SET {damage}")
    queue.put_blocking(letter("ok@b.example"))
    bench = start()
    await bench.until(lambda: not bench.left() and bench.manager.idle)
    assert bench.agent.deliveries == [("b.example", ["ok@b.example"])]
    [saved] = (queue.directory / layout.CORRUPT).iterdir()
    assert b"Subject: test" in saved.read_bytes()
    assert "its row is damaged -- message moved to corrupt queue" in caplog.text


async def test_mail_deleted_while_it_waits_is_not_reported_as_damage(start, queue, letter) -> None:
    bench = start()
    bench.agent.gate = asyncio.Event()
    for _ in range(6):
        await queue.put(letter("ok@a.example"))
    await bench.until(lambda: len(bench.agent.deliveries) == 5)
    last = list(queue.messages())[-1]
    await queue.change(queue.remove(last))
    bench.agent.gate.set()
    await bench.until(lambda: not bench.left() and bench.manager.idle)
    assert list((queue.directory / layout.CORRUPT).iterdir()) == []


async def test_a_result_that_cannot_be_written_is_written_later(start, queue, letter, monkeypatch) -> None:
    from mta.queue import QueueFull, deliveries

    monkeypatch.setattr(deliveries, "WRITE_RETRY", (0.01,))
    failures = iter([QueueFull("no space"), QueueFull("no space")])
    real = queue.change

    async def change(*changes: object) -> None:
        for error in failures:
            raise error
        await real(*changes)

    monkeypatch.setattr(queue, "change", change)
    bench = start()
    await queue.put(letter("ok@a.example"))
    await bench.until(lambda: not bench.left())
    assert len(bench.agent.deliveries) == 1


async def test_nothing_more_is_delivered_while_outcomes_cannot_be_written(start, queue, letter, monkeypatch) -> None:
    """A crash then repeats what was under way, and no more."""
    from mta.queue import QueueFull, deliveries

    monkeypatch.setattr(deliveries, "WRITE_RETRY", (0.01,))
    full, real = [True], queue.change

    async def change(*changes: object) -> None:
        if full:
            raise QueueFull("no space")
        await real(*changes)

    for _ in range(100):
        queue.put_blocking(letter("ok@a.example"))
    monkeypatch.setattr(queue, "change", change)
    bench = start()
    await bench.until(lambda: bool(bench.manager.deliveries._unwritten))
    await asyncio.sleep(0.1)  # a while in which it could deliver more
    assert len(bench.agent.deliveries) <= 20
    full.clear()
    await bench.until(lambda: not bench.left() and bench.manager.idle)
    assert len(bench.agent.deliveries) == 100


async def test_a_fault_of_an_agent_keeps_the_mail_and_the_others_going(start, queue, letter, caplog) -> None:
    caplog.set_level(logging.INFO)
    bench = start()

    async def broken(request: Request) -> list[Result]:
        if "broken@a.example" in [entry.recipient.address for entry in request.recipients]:
            raise ZeroDivisionError
        return await FakeAgent.deliver(bench.agent, request)

    bench.agent.deliver = broken
    kept = await queue.put(letter("broken@a.example"))
    await queue.put(letter("ok@a.example"))
    await bench.until(lambda: bench.manager.idle and bench.left() == [kept])
    assert "transport smtp failure" in caplog.text
    assert "status=deferred (unknown mail transport error)" in caplog.text
    found = queue.find(kept)
    assert found is not None and found.queue is QueueName.DEFERRED
    assert [entry.reason for entry in found.recipients] == ["unknown mail transport error"]


async def test_a_stuck_delivery_does_not_hold_up_the_end(start, queue, letter, monkeypatch) -> None:
    from mta.queue import manager

    monkeypatch.setattr(manager, "DRAIN_PATIENCE", 0.05)
    bench = start()
    bench.agent.gate = asyncio.Event()
    kept = await queue.put(letter("ok@a.example"))
    await bench.until(lambda: bool(bench.agent.deliveries))
    bench.drain.set()
    await bench.until(lambda: not bench.manager.deliveries._tasks)
    assert bench.left() == [kept]


async def test_an_expanded_alias_is_told_once(start, queue) -> None:
    bench = start()
    to, alias = Recipient("ok@a.example", "list@x", notify=Notify.FAILURE), Recipient("list@x", notify=Notify.SUCCESS)
    await queue.put(NewMessage("alice@x", [to], b"Subject: x\r\n\r\n", expanded=[alias]))
    await bench.until(lambda: bench.manager.idle and len(bench.agent.deliveries) == 2)
    report = next(content for content in bench.agent.content if b"multipart/report" in content)
    assert b"Final-Recipient: rfc822; list@x\r\n" in report
    assert b"Action: expanded\r\n" in report
    assert b"ok@a.example" not in report
    assert bench.left() == []


async def test_recipients_of_a_domain_go_together(start, queue, letter) -> None:
    class ToOne:
        async def resolve(self, address: str, sender: str = "") -> Route:
            return Route("smtp", "relay", address, AddressClass.DEFAULT)

    bench = start()
    bench.manager.deliveries._resolver = ToOne()
    await queue.put(letter("ok2@b.example", "ok@a.example", "ok1@b.example", "ok@c.example"))
    await bench.until(lambda: not bench.left())
    assert [addresses for _, addresses in bench.agent.deliveries] == [
        ["ok@a.example", "ok1@b.example", "ok2@b.example"],
        ["ok@c.example"],
    ]


async def test_a_torn_database_is_repaired_and_work_goes_on(start, queue, letter, monkeypatch, caplog) -> None:
    from mta.queue.errors import QueueDamaged

    for _ in range(5):
        queue.put_blocking(letter("ok@a.example"))
    real = queue.arrivals
    faults = iter([QueueDamaged("database disk image is malformed")])

    def arrivals(after: int, limit: int) -> list[object]:
        for error in faults:
            raise error
        return real(after, limit)

    monkeypatch.setattr(queue, "arrivals", arrivals)
    bench = start()
    await bench.until(lambda: len(bench.agent.deliveries) == 5 and not bench.left())
    assert "5 messages recovered, 0 could not be read" in caplog.text
    assert len(list((queue.directory / layout.CORRUPT).glob("queue.db.*"))) >= 1
    await queue.put(letter("ok@b.example"))
    await bench.until(lambda: len(bench.agent.deliveries) == 6)


async def test_a_database_that_is_torn_when_written_to_is_repaired(start, queue, letter, monkeypatch, caplog) -> None:
    from mta.queue import deliveries
    from mta.queue.errors import QueueDamaged

    monkeypatch.setattr(deliveries, "WRITE_RETRY", (0.01,))
    faults, real = iter([QueueDamaged("database disk image is malformed")]), queue.change

    async def change(*changes: object) -> None:
        for error in faults:
            raise error
        await real(*changes)

    monkeypatch.setattr(queue, "change", change)
    bench = start()
    await queue.put(letter("ok@a.example"))
    await bench.until(lambda: not bench.left())
    assert len(bench.agent.deliveries) == 1
    assert "1 messages recovered" in caplog.text


@pytest.mark.parametrize("seed", range(2))
async def test_postsuper_at_work_beside_deliveries_loses_nothing(start, queue, letter, seed: int) -> None:
    """Hold, release, requeue and delete at any moment: what was not deleted is delivered, and once."""
    dice = random.Random(seed)
    bench, real = start(), FakeAgent.deliver

    async def deliver(request: Request) -> list[Result]:
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        return await real(bench.agent, request)

    bench.agent.deliver = deliver
    names = [f"{dice.choice(['ok', 'ok', 'later'])}@d{number % 7}.x{number}.example" for number in range(150)]
    deleted: set[str] = set()
    for name in names:
        await queue.put(letter(name))
        for message in dice.sample(found := list(queue.messages()), min(3, len(found))):
            sequence, now = message.sequence, bench.clock()
            match dice.randrange(6):
                case 0:
                    deleted.update(entry.recipient.address for entry in message.recipients)
                    await queue.change(queue.remove(message))
                case 1:
                    await queue.change(Move(sequence, QueueName.HOLD, now))
                case 2:
                    await queue.change(Move(sequence, QueueName.DEFERRED, now, QueueName.HOLD))
                case 3:
                    await queue.change(Move(sequence, QueueName.DEFERRED, 0.0))
                case _:
                    bench.manager.retry(message.queue_id)
        if dice.random() < 0.2:
            bench.manager.flush()
    bench.agent.answers["later"] = SENT
    for message in queue.messages(QueueName.HOLD):
        await queue.change(Move(message.sequence, QueueName.DEFERRED, 0.0))
    while bench.left():  # what was under way at a flush may be deferred after it
        bench.manager.flush()
        await bench.until(lambda: bench.manager.idle)
    sent = Counter(address for _, addresses in bench.agent.deliveries for address in addresses if address[0] == "o")
    assert set(names) - deleted <= {address for _, addresses in bench.agent.deliveries for address in addresses}
    assert max(sent.values()) == 1
    assert bench.manager.deliveries._recipients == 0
    assert list((queue.directory / layout.CORRUPT).iterdir()) == []
