"""The power fails: only what fdatasync(2) was asked for before is on the disk. What was acknowledged has to be in it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from mta.queue import Queue, layout

WAL = f"{layout.DATABASE}-wal"


class Disk:
    """Keeps what a disk would have at each sync: the log as it was when the sync began."""

    def __init__(self, spool: Path) -> None:
        self._wal = spool / WAL
        self.images: list[bytes] = []
        """What is on the disk after each sync that has ended."""
        self._sync = os.fdatasync

    def fdatasync(self, fd: int) -> None:
        image = self._wal.read_bytes()
        self._sync(fd)
        self.images.append(image)


async def test_what_is_acknowledged_is_on_the_disk(queue_directory: Path, tmp_path: Path, letter, monkeypatch) -> None:
    acknowledged: dict[int, set[str]] = {}
    with Queue.open(queue_directory) as queue:
        queue.new_id()
        shutil.copy(queue_directory / layout.DATABASE, tmp_path / "database")
        disk = Disk(queue_directory)
        monkeypatch.setattr(os, "fdatasync", disk.fdatasync)

        async def client(number: int) -> None:
            for turn in range(8):
                large = (number + turn) % 5 == 0
                queue_id = await queue.put(letter(body="x" * (150_000 if large else 500)))
                acknowledged.setdefault(len(disk.images), set()).add(queue_id)
                # In between something that nobody was promised: it must not pass for a sync of its own.
                if number % 3 == 0 and (message := queue.find(queue_id)) is not None and not large:
                    await queue.change(queue.remove(message))
                    removed.add(queue_id)

        removed: set[str] = set()
        async with asyncio.timeout(60):
            await asyncio.gather(*(client(number) for number in range(12)))
    promised: set[str] = set()
    for number, queue_ids in sorted(acknowledged.items()):
        promised |= queue_ids
        after = tmp_path / f"after{number}"
        layout.prepare(after)
        shutil.copy(tmp_path / "database", after / layout.DATABASE)
        (after / WAL).write_bytes(disk.images[number - 1])
        with Queue.open(after) as survived:
            assert promised - removed <= survived.queue_ids()
        shutil.rmtree(after)
    assert len(promised) > 50
    assert len(disk.images) < 12 * 8  # many shared a sync
