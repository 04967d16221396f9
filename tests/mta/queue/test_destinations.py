"""Concurrency per destination with feedback, and fair turns between destinations."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.result import Dsn
from mta.queue.destinations import Destination, Transport
from mta.queue.settings import Feedback, TransportSettings

WHY = Dsn("4.4.1", "connect to host: Connection refused")


def transport(**settings: object) -> Transport[str]:
    return Transport("smtp", TransportSettings(**settings))


def fill(where: Transport[str], name: str, count: int) -> Destination[str]:
    destination = where.destination(name, name)
    for number in range(count):
        where.add(destination, f"{name}{number}")
    return destination


def started(where: Transport[str], now: float = 0.0) -> list[str]:
    out = []
    while turn := where.next_turn(now):
        out.append(turn[1])
    return out


def test_a_new_destination_starts_with_the_initial_concurrency() -> None:
    smtp = transport(initial_concurrency=3)
    fill(smtp, "a", 10)
    assert started(smtp) == ["a0", "a1", "a2"]


def test_destinations_take_turns() -> None:
    smtp = transport(initial_concurrency=2)
    fill(smtp, "a", 5)
    fill(smtp, "b", 5)
    fill(smtp, "c", 1)
    assert started(smtp) == ["a0", "b0", "c0", "a1", "b1"]


def test_a_long_backlog_does_not_starve_a_latecomer() -> None:
    smtp = transport(initial_concurrency=1)
    busy = fill(smtp, "a", 1000)
    assert started(smtp) == ["a0"]
    fill(smtp, "b", 1)
    smtp.finished(busy, 0.0)
    assert started(smtp) == ["b0", "a1"] or started(smtp) == []


def test_process_limit() -> None:
    smtp = transport(process_limit=4)
    for name in "abcdef":
        fill(smtp, name, 3)
    assert len(started(smtp)) == 4


def test_success_widens_the_window_up_to_the_limit() -> None:
    smtp = transport(initial_concurrency=1, concurrency_limit=4)
    destination = fill(smtp, "a", 1000)
    for _ in range(20):
        for _entry in started(smtp):
            smtp.finished(destination, 0.0)
            smtp.good(destination)
    assert destination.window == 4


def test_failure_narrows_the_window_and_then_kills() -> None:
    smtp = transport(initial_concurrency=4)
    destination = fill(smtp, "a", 100)
    started(smtp)
    windows = []
    for _ in range(4):
        smtp.finished(destination, 0.0)
        windows.append((smtp.bad(destination, WHY, 0.0, 300.0), destination.window))
        if windows[-1][0]:
            break
    assert [window for _, window in windows] == sorted((window for _, window in windows), reverse=True)
    assert windows[-1][0]
    assert smtp.dead("a", 299.0) == WHY
    assert smtp.next_turn(299.0) is None
    assert smtp.dead("a", 300.0) is None
    assert destination.window == 4


def test_one_success_ends_a_row_of_failures() -> None:
    smtp = transport(initial_concurrency=2)
    destination = fill(smtp, "a", 100)
    for _ in range(50):
        started(smtp)
        smtp.finished(destination, 0.0)
        assert not smtp.bad(destination, WHY, 0.0, 300.0) or destination.window == 1
        if destination.dead:
            smtp.revive_all()
        smtp.finished(destination, 0.0) if destination.busy else None
        smtp.good(destination)
    assert destination.failed_cohorts == 0.0


def test_rate_delay_spaces_deliveries() -> None:
    smtp = transport(initial_concurrency=1, rate_delay=10.0)
    destination = fill(smtp, "a", 2)
    assert started(smtp, 100.0) == ["a0"]
    smtp.finished(destination, 101.0)
    assert started(smtp, 105.0) == []
    assert smtp.next_time() == 111.0
    assert started(smtp, 111.0) == ["a1"]


def test_quiet_destinations_are_forgotten_but_not_dead_ones() -> None:
    smtp = transport()
    destination = fill(smtp, "a", 1)
    started(smtp)
    smtp.finished(destination, 0.0)
    smtp.bad(destination, WHY, 0.0, 300.0)
    destination.dead, destination.dead_until = WHY, 300.0
    smtp.forget_quiet(100.0)
    assert smtp.dead("a", 100.0) == WHY
    smtp.forget_quiet(301.0)
    assert smtp.destination("a", "a") is not destination


@pytest.mark.parametrize(
    ("text", "window", "amount"),
    [("1", 7, 1.0), ("1/concurrency", 4, 0.25), ("1/sqrt_concurrency", 4, 0.5), ("0.5/10", 3, 0.05), (".5", 1, 0.5)],
)
def test_feedback_forms(text: str, window: int, amount: float) -> None:
    assert Feedback.parse(text).amount(window) == pytest.approx(amount)


@given(st.text(max_size=20))
def test_feedback_raises_only_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert Feedback.parse(text).amount(3) >= 0


@given(st.lists(st.sampled_from(["add", "start", "good", "bad", "wait"]), max_size=200), st.data())
def test_books_balance_whatever_happens(steps: list[str], data: st.DataObject) -> None:
    smtp = transport(initial_concurrency=2, process_limit=5)
    running: list[Destination[str]] = []
    now = added = taken = 0.0
    for step in steps:
        name = data.draw(st.sampled_from("abc"))
        if step == "add" and smtp.dead(name, now) is None:
            smtp.add(smtp.destination(name, name), "x")
            added += 1
        elif step == "start" and (turn := smtp.next_turn(now)):
            running.append(turn[0])
        elif step in ("good", "bad") and running:
            destination = running.pop(data.draw(st.integers(0, len(running) - 1)))
            smtp.finished(destination, now)
            taken += 1
            if step == "good":
                smtp.good(destination)
            elif smtp.bad(destination, WHY, now, 10.0):
                taken += len(smtp.take_all(destination))
        else:
            now += 5.0
            smtp.forget_quiet(now)
        assert smtp.busy == len(running) <= 5
    while True:
        now += 11.0
        for name in "abc":
            smtp.dead(name, now)
        for destination in running:
            smtp.finished(destination, now)
            taken += 1
        running = []
        while turn := smtp.next_turn(now):
            running.append(turn[0])
        if not running:
            break
    assert taken == added
