"""The queue manager amid torn mail, failing disks, faults of the program, and postsuper at work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
from collections import Counter

import pytest

from mta.delivery.request import Request
from mta.delivery.result import Result
from mta.queue import QueueName, layout
from mta.queue.changes import Move
from tests.mta.queue.managed import SENT, FakeAgent


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
    from mta.queue import QueueFull, outcomes

    monkeypatch.setattr(outcomes, "WRITE_RETRY", (0.01,))
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
    from mta.queue import QueueFull, outcomes

    monkeypatch.setattr(outcomes, "WRITE_RETRY", (0.01,))
    full, real = [True], queue.change

    async def change(*changes: object) -> None:
        if full:
            raise QueueFull("no space")
        await real(*changes)

    for _ in range(100):
        queue.put_blocking(letter("ok@a.example"))
    monkeypatch.setattr(queue, "change", change)
    bench = start()
    await bench.until(lambda: bool(bench.manager.deliveries.outcomes.stuck))
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
    from mta.queue import outcomes
    from mta.queue.errors import QueueDamaged

    monkeypatch.setattr(outcomes, "WRITE_RETRY", (0.01,))
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
    assert bench.manager.deliveries._refill.held == 0
    assert list((queue.directory / layout.CORRUPT).iterdir()) == []
