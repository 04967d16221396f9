"""The queue manager's notices: bounces, delay warnings, expiry, and what is never told."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import pytest

from mta.queue import NewMessage, Notify, Recipient
from mta.queue.settings import ManagerSettings
from tests.mta.queue.managed import LATER, NEVER, SENT, SETTINGS


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


@pytest.mark.parametrize("confirm", [True, False])
async def test_whoever_was_warned_is_told_when_the_delay_is_over(start, queue, clock, confirm: bool) -> None:
    bench = start(replace(SETTINGS, confirm_delay_cleared=confirm))
    notify = {"": Notify.DEFAULT, "delay": Notify.DELAY, "failure": Notify.FAILURE, "never": Notify.NEVER}
    to = [Recipient(f"later{name}@a.example", notify=wish) for name, wish in notify.items()]
    for each in to:
        bench.agent.answers[each.address.partition("@")[0]] = LATER
    await queue.put(NewMessage("alice@example.org", to, b"Subject: x\r\n\r\n"))
    await bench.until(lambda: bench.manager.idle and bool(bench.agent.deliveries))
    await bench.advance(5 * 3600)
    assert b"Subject: Delayed Mail" in bench.agent.content[-1]
    before = len(bench.agent.content)
    bench.agent.answers.update({each.address.partition("@")[0]: SENT for each in to})
    await bench.advance(5 * 3600)
    assert bench.left() == []
    reports = [each for each in bench.agent.content[before:] if b"Subject: Successful Mail Delivery Report" in each]
    assert len(reports) == confirm
    for report in reports:
        assert re.findall(rb"Final-Recipient: rfc822; (\S+)@", report) == [b"later", b"laterdelay"]
