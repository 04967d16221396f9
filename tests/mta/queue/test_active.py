"""What the queue keeps of a delivery until its sender has been told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mta.delivery.result import Dsn, Result, Status
from mta.queue.active import Active
from mta.queue.message import Notify, Recipient
from mta.queue.store import Queue
from tests.mta.queue.conftest import Letter


def active(queue: Queue, letter: Letter, *recipients: Recipient) -> Active:
    message = letter()
    message.recipients = list(recipients)
    queue.put_blocking(message)
    [queued] = queue.messages()
    return Active.of(queued, 0.0)


def failed(entry: Active, final: str, reason: str) -> Result:
    return Result(entry.message.recipients[0], Status.BOUNCED, Dsn("5.1.1", reason), "local", final=final)


def told(entry: Active, outcomes: dict[int, object]) -> list[tuple[str, str, str]]:
    return [(e.recipient.address, e.recipient.original, e.outcome.reason) for e in entry.notices(outcomes)]


def test_every_failure_behind_an_alias_is_told_also_after_a_crash(queue: Queue, letter: Letter, tmp_path: Path) -> None:
    entry = active(queue, letter, Recipient("list@example.org"))
    first, second = failed(entry, "a@example.org", "no a"), failed(entry, "b@example.org", "no b")
    entry.note([replace(first, more=(second,))])
    expected = [("a@example.org", "list@example.org", "no a"), ("b@example.org", "list@example.org", "no b")]
    assert told(entry, entry.failed) == expected
    queue.change_blocking(entry.progress([0]))
    [again] = queue.messages()
    restored = Active.of(again, 0.0)
    assert told(restored, restored.failed) == expected


def test_a_success_names_who_took_it(queue: Queue, letter: Letter) -> None:
    entry = active(queue, letter, Recipient("bob@example.org", notify=Notify.SUCCESS))
    entry.note([Result(entry.message.recipients[0], Status.SENT, Dsn("2.0.0", "done"), "local")])
    [notice] = entry.notices(entry.succeeded)
    assert notice.outcome.record["relay"] == "local"
