"""What a reader with bad intentions would try: links, lost locks, leaping clocks, readers that never end."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mta.queue import Queue, QueueError, layout, schema, wal, writer
from mta.queue.bodies import remove_orphans
from mta.queue.changes import Put
from mta.queue.store import LARGE_BODY

LARGE = "x" * LARGE_BODY
NOBODY = 65534


def test_a_content_of_the_same_name_is_never_overwritten(queue: Queue, letter) -> None:
    kept = queue.put_blocking(letter(body=LARGE))
    with pytest.raises(QueueError):
        queue.put_blocking(letter(body="y" * LARGE_BODY, queue_id=kept))
    [message] = queue.messages()
    assert LARGE.encode() in queue.content(message)


def test_a_content_that_vanished_before_the_commit_is_refused(queue: Queue, letter, monkeypatch) -> None:
    """The clock leaps while a message is written, and the queue manager takes its file for what a crash left."""
    staged = Put.stage

    def stage(put: Put) -> None:
        staged(put)
        for path in (queue.directory / layout.BODIES).iterdir():
            os.utime(path, (0, 0))
        assert remove_orphans(queue) == 1

    monkeypatch.setattr(Put, "stage", stage)
    with pytest.raises(QueueError, match="vanished"):
        queue.put_blocking(letter(body=LARGE))
    assert list(queue.messages()) == []


def test_a_message_with_a_file_is_removed_durably(queue: Queue, letter, monkeypatch) -> None:
    """Else a power cut could bring back the row of a message whose content is gone."""
    queue.put_blocking(letter(body=LARGE))
    queue.put_blocking(letter())
    assert [queue.remove(message).durable for message in queue.messages()] == [True, False]


def test_a_new_queue_directory_is_durable(tmp_path: Path, monkeypatch) -> None:
    synced: set[str] = set()
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    layout.prepare(tmp_path / "spool")
    assert {str(tmp_path), str(tmp_path / "spool")} <= synced


@pytest.mark.parametrize("blocking", [True, False], ids=["tool", "service"])
async def test_the_log_does_not_grow_for_ever_under_constant_readers(
    queue: Queue, letter, monkeypatch, blocking: bool
) -> None:
    monkeypatch.setattr(writer, "LONG_LOG", 1 << 20)
    monkeypatch.setattr(wal, "ENDLESS_LOG", 2 << 20)
    over = threading.Event()

    def read() -> None:
        with Queue.open(queue.directory) as reader:
            while not over.is_set():
                for _ in reader.messages():
                    pass

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    try:
        sizes = []
        for _ in range(100):
            new = queue.new(letter(body="x" * 60_000))
            if blocking:
                queue.change_blocking(new)
            else:
                await queue.change(new)
            removed = [queue.remove(message) for message in queue.messages()]
            if blocking:
                queue.change_blocking(*removed)
            else:
                await queue.change(*removed)
            sizes.append((queue.directory / f"{layout.DATABASE}-wal").stat().st_size)
    finally:
        over.set()
        for thread in readers:
            thread.join()
    # 16 MB went through it.
    assert max(sizes) < 5 << 20


async def test_the_room_of_a_flood_is_given_back(queue: Queue, letter, monkeypatch) -> None:
    monkeypatch.setattr(schema, "LARGE_DATABASE", 1 << 20)
    database = queue.directory / layout.DATABASE
    with Queue.open(queue.directory) as other:
        ids = [await queue.put(letter(body="x" * 60_000)) for _ in range(60)]
        with contextlib.closing(schema.connect(database)) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        full = database.stat().st_size
        queue.compact()
        assert len(list(other.messages())) == 60  # not empty: left alone
        await queue.change(*(queue.remove(message) for message in queue.messages()))
        queue.compact()
        assert full > 3 << 20 and database.stat().st_size < 1 << 20
        for opened in (queue, other):
            new = await opened.put(letter())
            assert new not in ids
        sequences = [message.sequence for message in other.messages()]
        assert min(sequences) > 60


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something that a link could lead to")
@pytest.mark.parametrize("command", [("postsuper", "-d", "ALL"), ("postqueue", "-p"), ("postcat", "-h", "ABCDEF0123")])
def test_the_owner_of_a_queue_cannot_lead_root_elsewhere(place: Path, command: tuple[str, ...]) -> None:
    spool = place / "spool"
    layout.prepare(spool, NOBODY, NOBODY)
    secret = place / "secret.db"
    with contextlib.closing(sqlite3.connect(secret)) as raw:
        raw.execute("CREATE TABLE messages (x)")
    secret.chmod(0o600)
    before = secret.read_bytes(), secret.stat()
    (spool / layout.DATABASE).symlink_to(secret)
    (place / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {spool}\n")
    tool = (sys.executable, "-m", "lab", command[0], "-c", str(place), *command[1:])
    subprocess.run(tool, check=False, capture_output=True, timeout=60)
    after = secret.read_bytes(), secret.stat()
    assert before[0] == after[0]
    assert (before[1].st_uid, before[1].st_mtime_ns) == (after[1].st_uid, after[1].st_mtime_ns)
    assert not Path(f"{secret}-wal").exists()
    made = [path for path in spool.rglob("*") if not path.is_symlink() and path.lstat().st_uid != NOBODY]
    assert made == []


def test_a_queue_id_is_not_given_twice_after_a_crash_or_a_repair(queue_directory: Path, letter) -> None:
    """Also when the clock stands still: the number alone makes it unique."""
    ids: list[str] = []
    for turn in range(4):
        with Queue.open(queue_directory) as queue:
            ids += [queue.put_blocking(letter()) for _ in range(3)]
            if turn == 1:
                shutil.copytree(queue_directory, queue_directory.with_name("crashed"))
            if turn == 2:
                queue.repair("for a test")
    with Queue.open(queue_directory.with_name("crashed")) as queue:
        crashed = [queue.put_blocking(letter()) for _ in range(3)]
    assert len(set(ids)) == len(ids)
    assert not {queue_id[5:] for queue_id in crashed} & {queue_id[5:] for queue_id in ids[:6]}
