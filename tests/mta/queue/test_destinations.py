"""Concurrency of one destination: feedback, death and resurrection, pauses. The numbers are those of Postfix's qmgr(8)."""

from __future__ import annotations

import contextlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config import MainConfig
from mta.delivery.result import Dsn
from mta.queue.destinations import Destination
from mta.queue.settings import Feedback, TransportSettings
from mta.queue.transport import Transport

WHY = Dsn("4.4.1", "connect to host: Connection refused")


def transport(**settings: object) -> Transport[str]:
    return Transport("smtp", TransportSettings(**settings))


def fill(where: Transport[str], name: str, count: int, now: float = 0.0) -> Destination[str]:
    """That many messages for one destination."""
    destination = where.destination(name, name)
    for number in range(count):
        where.add(destination, f"{name}{number}", where.jobs.new(now))
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


def test_messages_go_in_the_order_of_their_arrival() -> None:
    smtp = transport(initial_concurrency=2)
    fill(smtp, "a", 5)
    fill(smtp, "b", 5)
    fill(smtp, "c", 1)
    assert started(smtp) == ["a0", "a1", "b0", "b1", "c0"]


def test_a_long_backlog_does_not_starve_a_latecomer() -> None:
    smtp = transport(initial_concurrency=1)
    busy = fill(smtp, "a", 1000)
    assert started(smtp) == ["a0"]
    fill(smtp, "b", 1)
    smtp.finished(busy, 0.0)
    assert started(smtp) == ["a1", "b0"]


def test_process_limit() -> None:
    smtp = transport(process_limit=4)
    for name in "abcdef":
        fill(smtp, name, 3)
    assert len(started(smtp)) == 4


def test_success_widens_the_window_up_to_the_limit() -> None:
    smtp = transport(initial_concurrency=1, concurrency_limit=4)
    destination = fill(smtp, "a", 1000)
    windows = []
    for _ in range(20):
        started(smtp)
        smtp.good(destination)
        smtp.finished(destination, 0.0)
        windows.append(destination.window)
    assert windows[:3] == [2, 3, 4]
    assert max(windows) == 4


def test_a_window_that_is_not_used_does_not_grow() -> None:
    """It stays within the initial concurrency of what is really under way."""
    smtp = transport(initial_concurrency=2)
    destination = fill(smtp, "a", 1000)
    assert len(started(smtp)) == 2
    for _ in range(10):
        smtp.good(destination)
    assert destination.window == 4


# What Postfix 3.7 logs with destination_concurrency_feedback_debug for a host that refuses connections.
THROTTLED = {
    ("1", 1): ["window 3 success 0 failure 1 fail_cohorts 0.2", "window 2 success 0 failure 1 fail_cohorts 0.533333",
               "window 0 success 0 failure 1 fail_cohorts 1.03333"],
    ("1/2", 1): ["window 4 success 0 failure 0.5 fail_cohorts 0.2", "window 3 success 0 failure 1 fail_cohorts 0.45",
                 "window 3 success 0 failure 0.5 fail_cohorts 0.783333",
                 "window 0 success 0 failure 0.5 fail_cohorts 1.11667"],
    ("1/concurrency", 0): [
        "window 4 success 0 failure 0.8 fail_cohorts 0.2", "window 4 success 0 failure 0.55 fail_cohorts 0.45",
        "window 4 success 0 failure 0.3 fail_cohorts 0.7", "window 3 success 0 failure 1.05 fail_cohorts 0.95",
        "window 3 success 0 failure 0.716667 fail_cohorts 1.28333",
        "window 3 success 0 failure 0.383333 fail_cohorts 1.61667", "window 2 success 0 failure 1.05 fail_cohorts 1.95",
        "window 2 success 0 failure 0.55 fail_cohorts 2.45", "window 1 success 0 failure 1.05 fail_cohorts 2.95",
        "window 1 success 0 failure 1.05 fail_cohorts 3.95"],
}  # fmt: skip


@pytest.mark.parametrize(("feedback", "cohorts"), THROTTLED)
def test_failure_narrows_the_window_as_in_postfix(feedback: str, cohorts: int, caplog) -> None:
    smtp = transport(failed_cohort_limit=cohorts, negative=Feedback.parse(feedback), debug=True)
    destination = fill(smtp, "a", 100)
    logged = THROTTLED[feedback, cohorts]
    with caplog.at_level(logging.INFO):
        died = [smtp.bad(destination, WHY, 0.0, 300.0) for _ in logged]
    assert caplog.messages == [f"qmgr_queue_throttle: queue a: limit 20 {line}" for line in logged]
    assert died == ["window 0" in line for line in logged]


def test_success_widens_the_window_as_in_postfix(caplog) -> None:
    smtp = transport(initial_concurrency=2, positive=Feedback.parse("1/concurrency"), debug=True)
    destination = fill(smtp, "a", 100)
    with caplog.at_level(logging.INFO):
        for _ in range(7):
            started(smtp)
            smtp.good(destination)
            smtp.finished(destination, 0.0)
    assert [message.partition(" limit 20 ")[2] for message in caplog.messages] == [
        "window 2 success 0.5 failure 0 fail_cohorts 0", "window 3 success 0 failure 0 fail_cohorts 0",
        "window 3 success 0.333333 failure 0 fail_cohorts 0", "window 3 success 0.666667 failure 0 fail_cohorts 0",
        "window 4 success 0 failure 0 fail_cohorts 0", "window 4 success 0.25 failure 0 fail_cohorts 0",
        "window 4 success 0.5 failure 0 fail_cohorts 0",
    ]  # fmt: skip


def test_a_cohort_of_failures_kills() -> None:
    """With a window of 5, then 3, then 2: 1/5 + 1/3 + 1/2 is more than one cohort."""
    smtp = transport()
    destination = fill(smtp, "a", 100)
    started(smtp)
    assert [smtp.bad(destination, WHY, 0.0, 300.0) for _ in range(4)] == [False, False, True, True]
    assert len(smtp.take_all(destination)) == 95
    assert smtp.dead("a", 299.0) == WHY
    assert smtp.next_turn(299.0) is None
    for _ in range(5):
        smtp.finished(destination, 1.0)
    assert smtp.dead("a", 300.0) is None
    assert destination.window == 5


def test_no_number_of_failures_kills_without_a_limit() -> None:
    smtp = transport(failed_cohort_limit=0)
    destination = fill(smtp, "a", 100)
    assert not any(smtp.bad(destination, WHY, 0.0, 300.0) for _ in range(50))
    assert destination.window == 1


def test_one_success_ends_a_row_of_failures() -> None:
    smtp = transport(initial_concurrency=2)
    destination = fill(smtp, "a", 100)
    started(smtp)
    for _ in range(50):
        assert not smtp.bad(destination, WHY, 0.0, 300.0)
        smtp.good(destination)
        destination.window = 2
    assert destination.failed_cohorts == 0.0


def test_a_delivery_that_was_under_way_brings_the_dead_back() -> None:
    smtp = transport()
    destination = fill(smtp, "a", 20)
    started(smtp)
    for _ in range(4):
        smtp.bad(destination, WHY, 0.0, 300.0)
        smtp.finished(destination, 0.0)
    smtp.take_all(destination)
    assert smtp.dead("a", 1.0) == WHY
    smtp.good(destination)
    assert smtp.dead("a", 1.0) is None
    assert destination.window == 1  # as many as are under way


def test_nothing_is_remembered_of_a_destination_without_mail() -> None:
    """As Postfix forgets it: single failures, hours apart, do not add up."""
    smtp = transport()
    for hour in range(20):
        destination = fill(smtp, "a", 1)
        started(smtp)
        assert not smtp.bad(destination, WHY, hour * 3600.0, 300.0)
        smtp.finished(destination, hour * 3600.0)
    assert destination.window == 5


def test_a_clock_that_is_set_back_ends_death_and_pauses() -> None:
    smtp = transport(initial_concurrency=1)
    destination = fill(smtp, "a", 1)
    started(smtp, 1e9)
    assert smtp.bad(destination, WHY, 1e9, 300.0)
    assert smtp.dead("a", 1e9 + 1) == WHY
    assert smtp.dead("a", 5e8) is None
    slow = transport(rate_delay=10.0)
    destination = fill(slow, "a", 2)
    assert started(slow, 1e9) == ["a0"]
    slow.finished(destination, 1e9)
    assert started(slow, 1e9 + 1) == []
    assert started(slow, 5e8) == ["a1"]


def test_rate_delay_spaces_deliveries() -> None:
    smtp = transport(initial_concurrency=5, rate_delay=10.0)
    destination = fill(smtp, "a", 3)
    fill(smtp, "b", 1)
    assert started(smtp, 100.0) == ["a0", "b0"]  # one at a time to each
    smtp.finished(destination, 101.0)
    for now in (101.0, 105.0, 105.0):
        assert started(smtp, now) == []
        assert smtp.next_time(now) == 111.0
    assert started(smtp, 111.0) == ["a1"]
    assert smtp.next_time(111.0) is None
    # A slow channel is no dead one.
    smtp.bad(destination, WHY, 112.0, 300.0)
    smtp.finished(destination, 112.0)
    assert smtp.dead("a", 113.0) is None
    assert started(smtp, 122.0) == ["a2"]


def test_transport_rate_delay_spaces_all_deliveries() -> None:
    smtp = transport(transport_rate_delay=10.0)
    first = fill(smtp, "a", 1)
    fill(smtp, "b", 1)
    assert started(smtp, 100.0) == ["a0"]
    smtp.finished(first, 101.0)
    assert started(smtp, 105.0) == []
    assert smtp.next_time(105.0) == 111.0
    assert started(smtp, 111.0) == ["b0"]
    assert smtp.next_time(112.0) is None


def test_quiet_destinations_are_forgotten_but_not_dead_ones() -> None:
    smtp = transport(initial_concurrency=1)
    destination = fill(smtp, "a", 1)
    started(smtp)
    smtp.bad(destination, WHY, 0.0, 300.0)
    smtp.finished(destination, 0.0)
    smtp.forget_quiet(100.0)
    assert smtp.dead("a", 100.0) == WHY
    smtp.forget_quiet(301.0)
    assert smtp.destination("a", "a") is not destination


@pytest.mark.parametrize(
    ("text", "window", "amount"),
    [("1", 7, 1.0), ("1/concurrency", 4, 0.25), ("1/sqrt_concurrency", 4, 0.5), ("0.5/10", 3, 0.05), (".5", 1, 0.5),
     ("1/8.0", 1, 0.125)],
)  # fmt: skip
def test_feedback_forms(text: str, window: int, amount: float) -> None:
    assert Feedback.parse(text).amount(window) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["", "x", "2", "-1", "1/0", "1/2/3", "1/x", "3/2"])
def test_unusable_feedback_is_warned_of_and_counts_as_one(tmp_path, text: str, caplog) -> None:
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nsmtp_destination_concurrency_negative_feedback = {text}\n"
        "smtp_destination_rate_delay = 2s\nsmtp_delivery_slot_cost = 7\n"
    )
    with caplog.at_level(logging.WARNING):
        settings = TransportSettings.from_config(MainConfig.load(tmp_path), "smtp", 100)
    assert settings.negative == Feedback(1.0)
    if text:
        assert (
            "smtp_destination_concurrency_negative_feedback: ignoring malformed or unreasonable feedback: "
            in caplog.text
        )
    assert (settings.concurrency_limit, settings.initial_concurrency, settings.slot_cost) == (1, 1, 7)


@given(st.text(max_size=20))
def test_feedback_raises_only_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= Feedback.parse(text).amount(3) <= 1


def test_a_transport_has_settings_of_its_own(tmp_path) -> None:
    (tmp_path / "main.cf").write_text(
        "default_recipient_refill_limit = 7\nslow_recipient_refill_limit = 3\nslow_recipient_refill_delay = 9s\n"
    )
    (tmp_path / "master.cf").write_text("slow unix - - n - - smtp\n")
    config = MainConfig.load(tmp_path)
    found = {name: TransportSettings.from_config(config, name, 100) for name in ("slow", "smtp")}
    assert {name: (each.refill_limit, each.refill_delay) for name, each in found.items()} == {
        "slow": (3, 9.0),
        "smtp": (7, 5.0),
    }
