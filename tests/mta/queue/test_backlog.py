"""Deferred mail comes to its turn in fair order, and does not hold up new mail."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue import admission, backlog
from mta.queue.admission import Admission
from mta.queue.backlog import Backlog
from mta.queue.changes import Defer
from mta.queue.reading import Deferred
from mta.queue.store import Queue
from tests.mta.queue.managed import managers


def filled(domains: list[str]) -> Backlog:
    found = Backlog()
    found.add(Deferred(0.0, sequence, domain) for sequence, domain in enumerate(domains))
    found.close()
    return found


def test_destinations_take_turns_and_each_keeps_its_order() -> None:
    found = filled(["a"] * 5 + ["b"] * 2 + ["c"])
    assert found.take(4, lambda domain: 0) == [0, 5, 7, 1]
    assert found.take(99, lambda domain: 0) == [6, 2, 3, 4]
    assert len(found) == 0


def test_a_destination_that_has_enough_to_do_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "DESTINATION_LIMIT", 3)
    found = filled(["a"] * 5 + ["b"] * 5)
    active = Counter(a=2)
    assert found.take(99, active.__getitem__) == [0, 5, 6, 7]
    assert found.take(99, Counter(a=3, b=3).__getitem__) == []
    assert found.take(99, Counter(b=3).__getitem__) == [1, 2, 3]


@given(st.lists(st.sampled_from("abcd")), st.integers(1, 7))
def test_everything_is_taken_once_and_nobody_twice_before_others(domains: list[str], limit: int) -> None:
    found, order = filled(domains), list[int]()
    while len(found):
        order += found.take(limit, lambda domain: 0)
    assert sorted(order) == list(range(len(domains)))
    left = Counter(domains)
    seen = Counter[str]()
    for sequence in order:
        seen[domains[sequence]] += 1
        # Of whoever still has something, nobody is behind by more than the one whose turn it is.
        assert all(seen[domain] >= seen[domains[sequence]] - 1 for domain in left if seen[domain] < left[domain])


async def deferred(queue: Queue, letter, clock, domains: list[str]) -> None:
    for domain in domains:
        await queue.put(letter(f"user@{domain}"))
    await queue.change(*(Defer(message.sequence, clock.now) for message in list(queue.messages())))


def taken(found: Admission) -> list[str]:
    """Domains of what one round hands out."""
    found.begin_round()
    domains, progress = list[str](), True
    while progress:
        portion, progress = found.portion(1000, lambda domain: 0)
        domains += [message.recipients[0].recipient.address.partition("@")[2] for message, _ in portion]
    return domains


async def test_a_queue_run_is_fair(queue: Queue, letter, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SLICE", 4)
    await deferred(queue, letter, clock, ["a.example"] * 6 + ["B.example", "b.example"] + ["c.example"])
    found = Admission(queue, clock.now, 4000.0)
    assert [domain.lower()[0] for domain in taken(found)] == list("abcabaaaa")
    assert not found.more
    found.flush()
    assert [domain.lower()[0] for domain in taken(found)] == list("abcabaaaa")
    found.flush("b.example")
    assert len(taken(found)) == 2
    assert not found.more


async def test_blocks_bound_what_is_in_memory(queue: Queue, letter, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SLICE", 2)
    monkeypatch.setattr(admission, "BLOCK", 4)
    await deferred(queue, letter, clock, ["a.example"] * 5 + ["b.example"] * 2)
    assert "".join(domain[0] for domain in taken(Admission(queue, clock.now, 4000.0))) == "aaaaabb"


async def test_new_mail_goes_first(queue: Queue, letter, clock) -> None:
    await deferred(queue, letter, clock, ["old.example"] * 50)
    found = Admission(queue, clock.now, 4000.0)
    found.begin_round()
    found.portion(1000, lambda domain: 0)  # looks at what is deferred
    await queue.put(letter("user@new.example"))
    found.look()
    assert Counter(taken(found)) == Counter({"new.example": 1, "old.example": admission.MODEST})
    assert found.more
    assert Counter(taken(found)) == Counter({"old.example": 50 - admission.MODEST})


async def test_a_slow_destination_with_a_long_backlog_holds_up_nobody(
    queue: Queue, letter, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "DESTINATION_LIMIT", 10)
    await deferred(queue, letter, clock, ["slow.example"] * 40 + ["quick.example"] * 15)
    async with managers(queue, clock) as begin:
        bench = begin()
        answer = bench.agent.deliver

        async def deliver(request):
            if request.nexthop == "slow.example":
                await gate.wait()
            return await answer(request)

        gate = asyncio.Event()
        bench.agent.deliver = deliver  # type: ignore[method-assign]
        await bench.until(lambda: len(bench.agent.deliveries) == 15)
        assert {nexthop for nexthop, _ in bench.agent.deliveries} == {"quick.example"}
        assert bench.manager.deliveries.count("slow.example") == 10
        gate.set()
        await bench.quiet()
        assert not bench.left()
