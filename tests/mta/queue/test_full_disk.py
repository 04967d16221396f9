"""A disk that is full, read-only or out of inodes, and a process out of descriptors: refused with the right reply, survived."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mta.queue import Queue, QueueError
from tests.mta.queue.faults import on_small_disk

FULL = "452 4.3.1 Insufficient system storage"
FAILED = "451 4.3.0 Error: queue file write error"


@pytest.mark.parametrize("size", [2000, 60_000, 200_000], ids=["small", "in the database", "as a file"])
def test_a_full_disk_refuses_and_loses_nothing(place: Path, size: int) -> None:
    script = f"""
with Queue.open(spool, QueueOptions(message_size_limit=0)) as queue:
    kept, error = until_error(queue, {size})
    ok = whole(queue, kept)
    leftovers = [path.name for path in (spool / "bodies").iterdir() if path.name not in kept]
    for message in list(queue.messages())[:len(kept) // 2]:
        try:
            queue.change_blocking(queue.remove(message))
        except QueueError:
            break
    os.truncate(ballast, 0)
    kept.append(queue.put_blocking(letter({size})))
with Queue.open(spool) as queue:
    again = kept[-1] in queue.queue_ids()
print(json.dumps([error.reply, len(kept) > 2, ok, leftovers, again]))
"""
    ballast = 'ballast = Path(sys.argv[1]) / "ballast"\nballast.write_bytes(bytes(2 << 20))\n'
    assert on_small_disk(ballast + script, place, "size=8m") == [FULL, True, True, [], True]


def test_no_queue_can_be_made_on_a_full_disk_until_there_is_room(place: Path) -> None:
    script = """
ballast = Path(sys.argv[1]) / "ballast"
os.system(f"head -c 2m /dev/zero > {ballast} 2>/dev/null")
try:
    Queue.open(spool)
except QueueError as error:
    refused = type(error).__name__
ballast.unlink()
with Queue.open(spool) as queue:
    queue.put_blocking(letter())
print(json.dumps([refused, [path.name for path in (spool / "corrupt").iterdir()]]))
"""
    assert on_small_disk(script, place, "size=1m") == ["QueueFull", []]


@pytest.mark.parametrize("size", [2000, 200_000])
def test_out_of_inodes(place: Path, size: int) -> None:
    script = f"""
with Queue.open(spool, QueueOptions(message_size_limit=0)) as queue:
    kept = [queue.put_blocking(letter({size}))]
    for number in range(200):
        try:
            (Path(sys.argv[1]) / f"f{{number}}").touch()
        except OSError as error:
            assert error.errno == errno.ENOSPC
            break
    try:
        kept.append(queue.put_blocking(letter({size})))
        reply = "250"
    except QueueError as error:
        reply = error.reply
    ok = whole(queue, kept)
print(json.dumps([reply, ok]))
"""
    # A small message needs no inode of its own.
    assert on_small_disk(script, place, "size=20m,nr_inodes=60") == ["250" if size == 2000 else FULL, True]


def test_a_read_only_file_system(place: Path) -> None:
    script = """
queue = Queue.open(spool, QueueOptions(message_size_limit=0))
kept = [queue.put_blocking(letter()), queue.put_blocking(letter(200_000))]
queue.new_id()
queue.close()
subprocess.run(["mount", "-o", "remount,ro", "tmpfs", sys.argv[1]], check=True)
replies = []
try:
    Queue.open(spool)
except QueueError as error:
    replies.append(error.reply)
subprocess.run(["mount", "-o", "remount,rw", "tmpfs", sys.argv[1]], check=True)
with Queue.open(spool) as queue:
    ok = whole(queue, kept)
print(json.dumps([replies, ok, [path.name for path in (spool / "corrupt").iterdir()]]))
"""
    assert on_small_disk(script, place, "size=20m") == [[FAILED], True, []]


def test_out_of_descriptors(place: Path) -> None:
    script = """
with Queue.open(spool, QueueOptions(message_size_limit=0)) as queue:
    kept = [queue.put_blocking(letter())]
    queue.new_id()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    eaten = []
    while True:
        try:
            eaten.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            break
    replies = []
    for size in (2000, 200_000):
        try:
            kept.append(queue.put_blocking(letter(size)))
            replies.append("250")
        except QueueError as error:
            replies.append(error.reply)
    for fd in eaten:
        os.close(fd)
    kept.append(queue.put_blocking(letter(200_000)))
    ok = whole(queue, kept)
print(json.dumps([replies, ok]))
"""
    assert on_small_disk(script, place, "size=20m") == [["250", FAILED], True]


def test_files_may_not_grow(place: Path) -> None:
    """write(2) fails in the middle of SQLite's log (EFBIG): the error of a disk that cannot write."""
    script = """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Queue.open(spool, QueueOptions(message_size_limit=0)) as queue:
    first = queue.put_blocking(letter())
    size = max(path.stat().st_size for path in spool.glob("queue.db*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3000, hard))
    kept, error = until_error(queue)
    kept.append(first)
    ok = whole(queue, kept)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept.append(queue.put_blocking(letter()))
    ok = ok and whole(queue, kept)
print(json.dumps([error.reply[:3], ok, [path.name for path in (spool / "corrupt").iterdir()]]))
"""
    assert on_small_disk(script, place, "size=40m") == ["451", True, []]


@pytest.mark.parametrize(("number", "reply"), [(errno.EIO, FAILED), (errno.ENOSPC, FULL), (errno.EDQUOT, FULL)])
def test_a_body_that_cannot_be_synced(queue: Queue, letter, monkeypatch, number: int, reply: str) -> None:
    """What fsync(2) says is simulated: no file system at hand answers so when it is told to."""
    real, faults = os.fsync, iter([OSError(number, os.strerror(number))])

    def fsync(fd: int) -> None:
        for fault in faults:
            raise fault
        real(fd)

    queue.new_id()
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(QueueError) as refusal:
        queue.put_blocking(letter(body="x" * 200_000))
    assert refusal.value.reply == reply
    assert list((queue.directory / "bodies").iterdir()) == []
    queue.content(queue.find(queue.put_blocking(letter(body="x" * 200_000))))
