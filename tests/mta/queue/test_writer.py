"""The writer of the queue: what one change does wrong is its own failure, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.queue import NewMessage, Queue, QueueError, QueueRefused, Recipient, layout, schema, writer
from mta.queue.changes import Change, Outcome, Progress
from mta.queue.listing import columns, json_lines, listed
from mta.queue.texts import from_column, to_column
from mta.queue.wal import WriteAheadLog
from mta.queue.writer import end_process

OCTETS = "b\udcff\udcfeb@lab.example"
"""As `b\\xff\\xfeb@lab.example` is decoded everywhere (surrogateescape)."""
NO_OCTET = "b\ud800b@lab.example"
"""A surrogate that stands for no octet."""


async def test_octets_that_are_no_utf8_survive(queue: Queue) -> None:
    recipient = Recipient(OCTETS, "ä@lab.example", f"rfc822;{OCTETS}")
    async with asyncio.timeout(10):
        queue_id = await queue.put(NewMessage(OCTETS, [recipient], b"\r\nx\r\n", attributes={"helo_name": OCTETS}))
        [found] = queue.messages()
        assert (found.sender, found.attributes["helo_name"]) == (OCTETS, OCTETS)
        assert [each.recipient for each in found.recipients] == [recipient]
        await queue.change(Progress(found.sequence, waiting={0: Outcome("4.0.0", f"said {OCTETS}", "delayed")}))
    again = queue.find(queue_id)
    assert again is not None
    assert again.recipients[0].reason == f"said {OCTETS}"


async def test_they_survive_a_repair(queue: Queue) -> None:
    await queue.put(NewMessage(OCTETS, [Recipient(OCTETS)], b"\r\nx\r\n"))
    queue.repair("for a test")
    [found] = queue.messages()
    assert (found.sender, found.recipients[0].recipient.address) == (OCTETS, OCTETS)


@given(st.binary(max_size=40))
def test_columns_keep_octets(octets: bytes) -> None:
    column = to_column(octets.decode("utf-8", "surrogateescape"))
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (address TEXT NOT NULL)")
        connection.execute("INSERT INTO t VALUES (?)", (column,))
        [[kept]] = connection.execute("SELECT address FROM t")
    assert from_column(kept).encode("utf-8", "surrogateescape") == octets


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.text(st.characters(), max_size=10))
async def test_any_text_is_stored_or_refused(queue: Queue, text: str) -> None:
    async with asyncio.timeout(10):
        with contextlib.suppress(QueueRefused):
            await queue.put(NewMessage(text, [Recipient(text)], b"\r\nx\r\n"))


async def test_what_stands_for_no_octet_is_refused_for_good(queue: Queue, letter) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(QueueRefused) as refusal:
            await queue.put(letter(NO_OCTET))
        assert refusal.value.reply == "554 5.6.0 Error: message cannot be stored"
        await queue.put(letter())
    assert len(list(queue.messages())) == 1


class Faulty(Change):
    """A mistake of ours in one change."""

    has_file = True

    def __init__(self, stage: Exception | None = None, apply: Exception | None = None) -> None:
        self._stage, self._apply = stage, apply
        self.undone = False

    def stage(self) -> None:
        if self._stage:
            raise self._stage

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM recipients")
        if self._apply:
            raise self._apply

    def undo(self) -> None:
        self.undone = True


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), QueueRefused),
        (OverflowError("too large"), QueueRefused),
        (RuntimeError("a mistake"), QueueError),
        (MemoryError(), QueueError),
    ],
)
@pytest.mark.parametrize("where", ["stage", "apply"])
async def test_a_faulty_change_fails_alone(
    queue: Queue, letter, where: str, error: Exception, kind: type[QueueError]
) -> None:
    faulty = Faulty(**{where: error})
    async with asyncio.timeout(10):
        results = await asyncio.gather(
            queue.put(letter()), queue.change(faulty), queue.put(letter()), return_exceptions=True
        )
    assert [type(result) for result in results] == [str, kind, str]
    assert faulty.undone
    assert [len(message.recipients) for message in queue.messages()] == [1, 1]


class Fatal(Change):
    """A fault outside of what is isolated."""

    def finished(self) -> None:
        raise RuntimeError("the writer itself fails")


async def test_nobody_waits_for_a_dead_writer(queue: Queue, letter, caplog) -> None:
    loop, died = asyncio.get_running_loop(), asyncio.Event()
    queue.on_failure = lambda: loop.call_soon_threadsafe(died.set)
    first = queue.new_id()  # numbers are in store, as in a service at work
    async with asyncio.timeout(10):
        results = await asyncio.gather(
            queue.change(Fatal()), *(queue.put(letter()) for _ in range(3)), return_exceptions=True
        )
        await died.wait()
        # What was committed is told as such; the rest, and all that comes later, gets its error at once.
        kept = {message.queue_id for message in queue.messages()}
        assert all(
            result in kept if isinstance(result, str) else isinstance(result, QueueError) for result in results[1:]
        )
        with pytest.raises(QueueError, match="has failed"):
            await queue.put(letter(queue_id=first))
    assert "the queue's writer has failed" in caplog.text


async def test_a_lost_page_is_written_again(queue: Queue, letter, monkeypatch, caplog) -> None:
    """The kernel tells of an I/O error once: the log's content goes into the database, which is synced too."""
    queue.new_id()  # numbers are in store
    syncs = iter([OSError(errno.EIO, "Input/output error")])

    def fdatasync(fd: int) -> None:
        for error in syncs:
            raise error

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    async with asyncio.timeout(10):
        first, second = await asyncio.gather(queue.put(letter()), queue.put(letter()))
        assert Path(f"{queue.directory / layout.DATABASE}-wal").stat().st_size == 0
        third = await queue.put(letter())
    assert {message.queue_id for message in queue.messages()} == {first, second, third}
    assert "Input/output error" in caplog.text


async def test_no_promise_without_a_sync(queue: Queue, letter, monkeypatch) -> None:
    died: list[bool] = []
    queue.on_failure = lambda: died.append(True)
    queue.new_id()

    def failure(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failure)
    monkeypatch.setattr(WriteAheadLog, "_move", failure)
    async with asyncio.timeout(10):
        results = await asyncio.gather(queue.put(letter()), queue.put(letter()), return_exceptions=True)
        assert [type(result) for result in results] == [QueueError, QueueError]
        with pytest.raises(QueueError, match="has failed"):
            await queue.put(letter())
    assert died == [True]


async def test_the_loop_turns_while_another_process_writes(queue: Queue, letter) -> None:
    async with asyncio.timeout(10):
        await queue.put(letter())
        with schema.locked(queue.directory / layout.WRITE_LOCK):
            putting = [asyncio.create_task(queue.put(letter()))]
            await asyncio.sleep(0.02)
            putting.append(asyncio.create_task(queue.put(letter())))  # comes too late for that transaction
            await asyncio.sleep(0.02)
            assert not any(task.done() for task in putting)
        await asyncio.gather(*putting)


async def test_who_is_talking_shares_the_next_transaction(queue: Queue, letter, monkeypatch) -> None:
    monkeypatch.setattr(writer, "GATHER", 0.0)
    monkeypatch.setattr(writer, "PATIENCE", 3600.0)
    queue.new_id()  # what it writes for that is done
    transactions: list[None] = []
    queue.on_new_mail = lambda: transactions.append(None)
    async with asyncio.timeout(10):
        await asyncio.gather(queue.put(letter()), queue.put(letter()))
        assert len(transactions) == 1
        queue.talking.update(["first", "second"])
        first = asyncio.create_task(queue.put(letter()))
        for _ in range(3):
            await asyncio.sleep(0)  # alone it would begin now
        await asyncio.gather(first, queue.put(letter()))
        assert len(transactions) == 2
        queue.talking.add("somebody who is silent from now on")
        await asyncio.gather(queue.put(letter()), queue.put(letter()))
        await asyncio.gather(queue.put(letter()), queue.put(letter()))
    assert len(transactions) == 4


async def test_a_foreign_transaction_is_waited_for_but_not_for_ever(queue: Queue, letter, monkeypatch) -> None:
    async with asyncio.timeout(10):
        await queue.put(letter())
        with contextlib.closing(sqlite3.connect(queue.directory / layout.DATABASE)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            putting = asyncio.create_task(queue.put(letter()))
            await asyncio.sleep(0.02)
            assert not putting.done()
            shell.execute("ROLLBACK")
            await putting
            shell.execute("BEGIN IMMEDIATE")
            monkeypatch.setattr(schema, "BUSY_SECONDS", 0.01)
            with pytest.raises(QueueError, match="locked"):
                await queue.put(letter())


async def test_the_log_does_not_grow_for_ever(queue: Queue, letter, monkeypatch) -> None:
    monkeypatch.setattr(writer, "LONG_LOG", 1 << 20)
    log = Path(f"{queue.directory / layout.DATABASE}-wal")
    async with asyncio.timeout(10):
        for _ in range(20):
            await asyncio.gather(*(queue.put(letter(body="x" * 50_000)) for _ in range(5)))
    assert log.stat().st_size < 3 << 20


def test_a_queue_that_is_closed_at_once_has_kept_everything(queue_directory: Path, letter) -> None:
    results: list[object] = []

    async def put_and_close() -> None:
        queue = Queue.open(queue_directory)
        puts = [asyncio.create_task(queue.put(letter(body="x" * size))) for size in (10, 200_000, 10)]
        await asyncio.sleep(0)
        queue.close()
        results.extend(await asyncio.gather(*puts))

    asyncio.run(put_and_close())
    with Queue.open(queue_directory) as again:
        assert again.queue_ids() == set(results)
        assert [len(again.content(message)) > 10 for message in again.messages()] == [True] * 3


def test_the_end_of_the_writer_ends_a_service(monkeypatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    end_process()
    assert sent == [(os.getpid(), signal.SIGTERM)]


async def test_they_can_be_listed(queue: Queue) -> None:
    await queue.put(NewMessage(OCTETS, [Recipient(OCTETS)], b"\r\nx\r\n"))
    shown = [*columns(listed(queue, set()), long_ids=False), *json_lines(listed(queue, set()))]
    assert sum("b??b@lab.example" in line for line in shown) == 3
    assert "\n".join(shown).encode()  # no surrogate is left
