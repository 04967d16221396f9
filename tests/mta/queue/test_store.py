"""What was put into the queue can be read, changed and removed, also by another process and after reopening."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from mta.queue import (
    NewMessage,
    Notify,
    Queue,
    QueueError,
    QueueFull,
    QueueName,
    QueueOptions,
    Recipient,
    layout,
)
from mta.queue.changes import Change, Defer, Move, Outcome, Progress
from mta.queue.reading import MessageCorrupt


async def test_a_message_comes_back_as_it_was_put(queue: Queue) -> None:
    message = NewMessage(
        "alice@example.org",
        [
            Recipient("bob@example.net", "root@example.org", "rfc822;root@example.org", Notify.SUCCESS | Notify.DELAY),
            Recipient("carol@example.net"),
        ],
        b"Subject: \xff\x00\r\n\r\n.\r\n",
        ret="HDRS",
        envid="QQ314159",
        body="8BITMIME",
        smtputf8=True,
        filter="smtp:[127.0.0.1]:10025",
        attributes={"client_name": "localhost", "sasl_username": "älice"},
    )
    queue_id = await queue.put(message)
    found = queue.find(queue_id)
    assert found is not None
    assert (found.sender, found.ret, found.envid, found.body, found.smtputf8, found.filter) == (
        "alice@example.org",
        "HDRS",
        "QQ314159",
        "8BITMIME",
        True,
        "smtp:[127.0.0.1]:10025",
    )
    assert found.attributes == {"client_name": "localhost", "sasl_username": "älice"}
    assert [entry.recipient for entry in found.recipients] == [
        message.recipients[0],
        Recipient("carol@example.net", "carol@example.net", "rfc822;carol@example.net"),
    ]
    assert found.queue is QueueName.INCOMING
    assert queue.content(found) == message.content
    assert found.size == len(message.content)


async def test_the_id_that_was_told_before_is_the_messages_id(queue: Queue, letter) -> None:
    queue_id = queue.new_id()
    assert await queue.put(letter(queue_id=queue_id)) == queue_id
    assert queue.find(queue_id) is not None


async def test_the_same_id_twice_fails_alone(queue: Queue, letter) -> None:
    first = queue.new_id()
    await queue.put(letter(queue_id=first))
    results = await asyncio.gather(
        queue.put(letter(queue_id=first)), *(queue.put(letter()) for _ in range(5)), return_exceptions=True
    )
    assert isinstance(results[0], QueueError)
    assert all(isinstance(result, str) for result in results[1:])
    assert len(list(queue.messages())) == 6


async def test_a_message_without_recipients_is_refused(queue: Queue) -> None:
    with pytest.raises(QueueError):
        await queue.put(NewMessage("a@b", [], b"\r\n"))


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 128 * 1024, 300_000])
async def test_contents_of_every_size(queue: Queue, size: int) -> None:
    content = os.urandom(size)
    queue_id = await queue.put(NewMessage("a@b", [Recipient("c@d")], content))
    found = queue.find(queue_id)
    assert found is not None
    assert queue.content(found) == content
    body = queue.directory / layout.BODIES / queue_id
    assert body.exists() == (size >= 128 * 1024)
    await queue.change(queue.remove(found))
    assert queue.find(queue_id) is None
    assert not body.exists()


async def test_many_messages_share_a_transaction(queue: Queue, letter, monkeypatch) -> None:
    commits = 0
    real = queue._writer._commit

    def counted(batch: object) -> None:
        nonlocal commits
        commits += 1
        real(batch)

    monkeypatch.setattr(queue._writer, "_commit", counted)
    await asyncio.gather(*(queue.put(letter()) for _ in range(200)))
    assert len(list(queue.messages())) == 200
    assert commits < 20


async def test_hold_is_not_among_the_arrivals(queue: Queue, letter) -> None:
    held = await queue.put(letter(hold=True))
    await queue.put(letter())
    assert [message.queue_id for message in queue.messages(QueueName.HOLD)] == [held]
    assert held not in [message.queue_id for message in queue.arrivals(0, 10)]


async def test_arrivals_come_in_order_and_once(queue: Queue, letter) -> None:
    ids = [await queue.put(letter()) for _ in range(7)]
    seen, last = [], 0
    while portion := queue.arrivals(last, 3):
        seen += [message.queue_id for message in portion]
        last = portion[-1].sequence
    assert seen == ids
    # A number is never used again, so that a reader who stands behind the last one misses nothing.
    await queue.change(*(queue.remove(message) for message in list(queue.messages())))
    new = await queue.put(letter())
    assert [message.queue_id for message in queue.arrivals(last, 10)] == [new]


async def test_deferred_mail_is_due_in_time_order(queue: Queue, letter, clock) -> None:
    ids = [await queue.put(letter()) for _ in range(4)]
    delays = [300.0, 100.0, 400.0, 200.0]
    for message, delay in zip(list(queue.messages()), delays, strict=True):
        await queue.change(Defer(message.sequence, clock.now + delay))
    assert queue.next_due() == clock.now + 100
    due = queue.due(clock.now + 300, (0.0, 0), 10)
    assert [message.queue_id for message in queue.read([each.sequence for each in due])] == [ids[1], ids[3], ids[0]]
    rest = queue.due(clock.now + 300, (due[1].next_attempt, due[1].sequence), 10)
    assert [message.queue_id for message in queue.read([each.sequence for each in rest])] == [ids[0]]
    assert {message.attempts for message in queue.messages("deferred")} == {1}


async def test_recipient_states(queue: Queue, letter) -> None:
    queue_id = await queue.put(letter("a@x", "b@x", "c@x"))
    found = queue.find(queue_id)
    assert found is not None
    await queue.change(
        Progress(
            found.sequence,
            done=[0],
            told={1: Outcome("5.1.1", "unknown", "failed", {"diag_type": "smtp"})},
            waiting={2: Outcome("4.2.0", "full", "delayed")},
        )
    )
    again = queue.find(queue_id)
    assert again is not None
    assert [(entry.position, entry.outcome, entry.dsn, entry.reason) for entry in again.recipients] == [
        (1, "failed", "5.1.1", "unknown"),
        (2, "", "4.2.0", "full"),
    ]
    assert again.recipients[0].record == {"diag_type": "smtp"}
    assert again.recipient_count == 3


async def test_held_mail_stays_held_when_a_delivery_under_way_defers_it(queue: Queue, letter) -> None:
    queue_id = await queue.put(letter())
    found = queue.find(queue_id)
    assert found is not None
    await queue.change(Move(found.sequence, QueueName.HOLD, 0.0))
    await queue.change(Defer(found.sequence, 5.0))
    again = queue.find(queue_id)
    assert again is not None and again.queue is QueueName.HOLD


async def test_several_processes_write_at_once(queue_directory: Path, letter) -> None:
    queues = [Queue.open(queue_directory) for _ in range(4)]
    try:
        ids = await asyncio.gather(*(queues[n % 4].put(letter()) for n in range(200)))
        assert len(set(ids)) == 200
        assert {message.queue_id for message in queues[0].messages()} == set(ids)
    finally:
        for queue in queues:
            queue.close()


async def test_close_writes_what_was_submitted(queue_directory: Path, letter) -> None:
    queue = Queue.open(queue_directory)
    putting = [asyncio.ensure_future(queue.put(letter())) for _ in range(20)]
    await asyncio.sleep(0)
    queue.close()
    await asyncio.gather(*putting)
    with Queue.open(queue_directory) as again:
        assert len(list(again.messages())) == 20
    with pytest.raises(QueueError):
        await queue.put(letter(queue_id="ABCDEF0"))


def test_everything_is_private(queue_directory: Path, letter) -> None:
    with Queue.open(queue_directory) as queue:
        queue.put_blocking(letter(body="x" * 200_000))
        for path in [queue_directory, *queue_directory.rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o077 == 0, f"{path} {mode:o}"


# --- no room -------------------------------------------------------------------------------------------------------


def test_minfree_is_enforced(queue_directory: Path) -> None:
    with Queue.open(queue_directory, QueueOptions(minfree=1 << 60)) as queue, pytest.raises(QueueFull) as caught:
        queue.check_space()
    assert caught.value.reply == "452 4.3.1 Insufficient system storage"


def test_room_for_one_and_a_half_messages_is_needed(queue: Queue) -> None:
    queue.check_space(1000)
    with pytest.raises(QueueFull):
        queue.check_space(1 << 60)


class Limit(Change):
    """Makes the database full: a disk without room, as far as SQLite can tell."""

    def __init__(self, pages: int) -> None:
        self._pages = pages

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {self._pages}")


async def test_a_full_disk_refuses_mail_and_is_survived(queue: Queue, letter) -> None:
    kept = await queue.put(letter())
    await queue.change(Limit(1))
    with pytest.raises(QueueFull):
        await queue.put(letter(body="x" * 50_000))
    await queue.change(Limit(1 << 30))
    again = await queue.put(letter())
    assert [message.queue_id for message in queue.messages()] == [kept, again]


async def test_a_body_that_cannot_be_written_leaves_nothing(queue: Queue, letter, monkeypatch) -> None:
    def no_space(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(QueueFull):
            await queue.put(letter(body="x" * 200_000))
    assert list((queue.directory / layout.BODIES).iterdir()) == []
    assert list(queue.messages()) == []
    await queue.put(letter(body="x" * 200_000))


# --- damage --------------------------------------------------------------------------------------------------------


async def test_a_torn_body_is_found(queue: Queue, letter) -> None:
    queue_id = await queue.put(letter(body="x" * 200_000))
    found = queue.find(queue_id)
    assert found is not None
    path = queue.directory / layout.BODIES / queue_id
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(MessageCorrupt):
        queue.content(found)
    path.unlink()
    with pytest.raises(MessageCorrupt):
        queue.content(found)


def test_a_bad_row_does_not_hide_the_others(queue: Queue, queue_directory: Path, letter) -> None:
    bad, good = queue.put_blocking(letter()), queue.put_blocking(letter())
    with contextlib.closing(sqlite3.connect(queue_directory / layout.DATABASE)) as raw, raw:
        raw.execute("UPDATE messages SET envelope = '{torn' WHERE queue_id = ?", (bad,))
    assert [message.queue_id for message in queue.messages()] == [bad, good]
    found = queue.find(bad)
    assert found is not None
    with pytest.raises(MessageCorrupt):
        queue.content(found)
