"""Which delivery is next: the order of messages, small ones that overtake, nothing lost and nobody starved."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.delivery.result import Dsn
from mta.queue.destinations import Destination
from mta.queue.settings import TransportSettings
from mta.queue.transport import Transport

WHY = Dsn("4.4.1", "connect to host: Connection refused")


class Line:
    """One transport whose deliveries end in the order in which they began, a second each."""

    def __init__(self, **settings: object) -> None:
        self.smtp: Transport[str] = Transport("smtp", TransportSettings(**{"process_limit": 1} | settings))
        self.now = 0.0
        self.done: list[str] = []

    def message(self, name: str, domains: list[str]) -> None:
        """A message with one entry for each of the domains."""
        job = self.smtp.jobs.new(self.now)
        for domain in domains:
            self.smtp.add(self.smtp.destination(domain, domain), name, job)

    def step(self) -> bool:
        """One delivery, if there is any."""
        turn = self.smtp.next_turn(self.now)
        if turn is None:
            return False
        self.now += 1.0
        self.done.append(turn[1])
        self.smtp.good(turn[0])
        self.smtp.finished(turn[0], self.now)
        return True

    def run(self) -> list[str]:
        while self.step():
            pass
        assert list(self.smtp.jobs) == []
        return self.done


def many(count: int) -> list[str]:
    return [f"d{number}" for number in range(count)]


def test_a_small_message_overtakes_a_large_one() -> None:
    line = Line()
    line.message("list", many(1000))
    for _ in range(20):
        line.step()
    line.message("single", ["d5"])
    line.run()
    assert line.done.index("single") == 20  # earned already


def test_it_has_to_wait_until_the_slots_are_earned() -> None:
    line = Line(slot_loan=0, slot_discount=0)
    line.message("list", many(1000))
    line.message("two", ["x", "y"])
    line.run()
    assert [place for place, name in enumerate(line.done) if name == "two"] == [10, 11]  # two entries, five each


def test_loan_and_discount_let_it_go_earlier() -> None:
    line = Line()
    line.message("list", many(1000))
    line.message("two", ["x", "y"])
    line.run()
    assert [place for place, name in enumerate(line.done) if name == "two"] == [1, 2]


def test_nothing_overtakes_a_message_that_is_small_itself_or_where_that_is_off() -> None:
    for line, size in ((Line(), 14), (Line(slot_cost=0), 1000), (Line(slot_cost=1), 1000)):
        line.message("first", many(size))
        line.message("single", ["x"])
        assert line.run()[-1] == "single"


def test_a_large_message_is_late_by_the_slot_cost_at_most() -> None:
    """However many small ones come: N deliveries of it let N/5 others by, and the loan."""
    line = Line()
    line.message("list", many(1000))
    while "list" not in Counter(line.done) or Counter(line.done)["list"] < 1000:
        line.message("single", [f"s{len(line.done)}"])
        line.step()
    assert Counter(line.done)["single"] <= 1000 / 5 + 3 + 1


def test_two_small_ones_overtake_each_other_by_size_and_age() -> None:
    line = Line(slot_loan=0, slot_discount=0)
    line.message("list", many(1000))
    line.message("ten", many(10))
    line.message("one", ["x"])
    line.run()
    assert line.done.index("one") < line.done.index("ten")


def test_an_overtaking_message_can_be_overtaken() -> None:
    line = Line()
    line.message("huge", many(5000))
    for _ in range(600):
        line.step()
    line.message("large", many(100))
    for _ in range(10):
        line.step()
    line.message("single", ["x"])
    line.run()
    assert line.done.index("large") == 600
    assert line.done.index("single") < line.done.index("large") + 20


@pytest.mark.parametrize(
    ("sizes", "slots", "order"),
    [
        ((80, 1, 1, 1, 3, 10), {}, f"{'0' * 15}1230444{'0' * 24}{'5' * 10}{'0' * 40}"),
        (
            (80, 1, 1, 2, 8),
            {"slot_loan": 0, "slot_discount": 0},
            f"{'0' * 15}12{'0' * 5}33{'0' * 40}{'4' * 8}{'0' * 20}",
        ),
    ],
)
def test_the_order_is_that_of_postfix(sizes: tuple[int, ...], slots: dict[str, int], order: str) -> None:
    """As Postfix 3.7 delivered these numbers of recipients with one smtp process, the first message having begun."""
    line = Line(**slots)
    for number, size in enumerate(sizes):
        line.message(str(number), [f"{number}u{recipient}" for recipient in range(size)])
        while number == 0 and len(line.done) < 15:
            line.step()
    assert "".join(line.run()) == order


def test_destinations_of_one_message_take_turns() -> None:
    line = Line(initial_concurrency=1)
    job = line.smtp.jobs.new(0.0)
    for domain in ("a", "b"):
        for _ in range(3):
            line.smtp.add(line.smtp.destination(domain, domain), domain, job)
    assert line.run() == ["a", "b", "a", "b", "a", "b"]


def test_a_blocked_destination_does_not_hold_up_the_others() -> None:
    line = Line(process_limit=10, initial_concurrency=1)
    for number in range(100):
        line.message(f"slow{number}", ["slow"])
    line.message("quick", ["quick"])
    started = [turn[1] for turn in iter(lambda: line.smtp.next_turn(0.0), None)]
    assert started == ["slow0", "quick"]


@settings(deadline=None, max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(0, 7), st.integers(0, 6), st.integers(0, 6))
def test_books_balance_whatever_happens(dice: random.Random, processes: int, concurrency: int, slot_cost: int) -> None:
    """Every entry is delivered or taken away once; no limit is ever exceeded; no job is left over."""
    limits = TransportSettings(
        concurrency_limit=concurrency, initial_concurrency=3, process_limit=processes, slot_cost=slot_cost,
        rate_delay=dice.choice([0.0, 0.0, 7.0]), transport_rate_delay=dice.choice([0.0, 0.0, 0.0, 3.0]),
    )  # fmt: skip
    smtp: Transport[int] = Transport("smtp", limits)
    running: list[Destination[int]] = []
    seen: Counter[int] = Counter()
    added, now = 0, 0.0

    def end(good: bool) -> None:
        destination = running.pop(dice.randrange(len(running)))
        if good:
            smtp.good(destination)
        elif smtp.bad(destination, WHY, now, 50.0):
            seen.update(smtp.take_all(destination))
        smtp.finished(destination, now)

    def start() -> bool:
        turn = smtp.next_turn(now)
        if turn is None:
            return False
        running.append(turn[0])
        seen[turn[1]] += 1
        busy = Counter(destination.name for destination in running)
        assert not processes or len(running) <= processes
        assert not limits.concurrency_limit or max(busy.values()) <= limits.concurrency_limit
        assert busy[turn[0].name] <= turn[0].window
        assert turn[0].dead is None
        assert not limits.transport_rate_delay or len(running) == 1
        return True

    for _ in range(dice.randrange(300)):
        match dice.choice("asssegbfw"):
            case "a" if added < 200:
                job = smtp.jobs.new(now)
                for _ in range(dice.choice([1, 1, 1, 2, 30])):
                    name = dice.choice("abcdefgh")
                    if smtp.dead(name, now) is None:
                        smtp.add(smtp.destination(name, name), added, job)
                        added += 1
            case "s":
                start()
            case "g" | "e" if running:
                end(good=True)
            case "b" if running:
                end(good=False)
            case "f":
                smtp.revive_all()
                smtp.forget_quiet(now)
            case _:
                now += dice.choice([0.1, 1.0, 20.0])
    for _ in range(5000):
        now += 20.0
        if not start() and not running:
            break
        while running:
            end(good=True)
    assert smtp.busy == 0
    assert seen == Counter(range(added))
    assert list(smtp.jobs) == []


@settings(deadline=None, max_examples=50)
@given(st.randoms(use_true_random=False))
def test_nobody_starves(dice: random.Random) -> None:
    """Under a steady stream of mail to others, each entry's turn comes within a bounded number of deliveries."""
    line = Line(process_limit=2, initial_concurrency=1)
    line.message("list", many(dice.randrange(20, 200)))
    line.message("patient", ["z"])
    ahead = sum(1 for job in line.smtp.jobs for _ in range(job.waiting))
    for number in range(2 * ahead + 10):
        line.message(f"new{number}", [dice.choice("abcz")] * dice.choice([1, 1, 3]))
        line.step()
        if "patient" in line.done:
            break
    assert "patient" in line.done
