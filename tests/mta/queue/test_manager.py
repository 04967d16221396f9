"""The queue manager: what is delivered, when it is tried again, and what can be asked for."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace

import pytest

from mta.address import AddressClass
from mta.delivery.result import Dsn
from mta.queue import QueueName
from tests.mta.queue.managed import LATER, SENT, SETTINGS, FakeAgent, Route


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
