"""The queue manager with large messages and a full active queue."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from mta.delivery.request import Request
from mta.delivery.result import Result
from mta.queue import QueueName, layout
from tests.mta.queue.managed import SENT, SETTINGS, FakeAgent

FRUGAL = replace(SETTINGS, recipient_limit=30, recipient_minimum=4)


async def test_recipients_of_large_messages_are_read_by_and_by(start, queue, letter) -> None:
    """Each gets his copy once, and never are many more in memory than qmgr_message_recipient_limit says."""
    names = [f"ok{number}@{'abc'[number % 3]}.example" for number in range(200)]
    for _ in range(3):
        queue.put_blocking(letter(*names))
    bench = start(FRUGAL)
    held = []

    def look() -> bool:
        held.append(bench.manager.deliveries._refill.held)
        return not bench.left()

    await bench.until(look)
    assert max(held) <= 30 + 3 * 10
    assert bench.manager.deliveries._refill.held == 0
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
