"""A torn or foreign database is set aside and reported; the queue goes on."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

import pytest

from mta.queue import ForeignQueue, Queue, layout
from mta.queue.errors import QueueDamaged
from mta.queue.schema import VERSION


def make(directory: Path, letter) -> Path:
    with Queue.open(directory) as queue:
        queue.put_blocking(letter())
    return directory / layout.DATABASE


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"From root\n" * 1000), id="not a database"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:5000]), id="cut off"),
        pytest.param(lambda path: path.write_bytes(b"\0" * 8192), id="zeroes"),
    ],
)
def test_a_damaged_database_is_set_aside(queue_directory: Path, letter, damage, caplog) -> None:
    path = make(queue_directory, letter)
    damage(path)
    with caplog.at_level(logging.WARNING), Queue.open(queue_directory) as queue:
        assert list(queue.messages()) == []
        queue.put_blocking(letter())
    assert "saved as" in caplog.text
    assert [entry.name.startswith("queue.db.") for entry in (queue_directory / layout.CORRUPT).iterdir()] == [True]


def test_a_foreign_database_is_set_aside(queue_directory: Path, letter) -> None:
    layout.prepare(queue_directory)
    with contextlib.closing(sqlite3.connect(queue_directory / layout.DATABASE)) as foreign:
        foreign.execute("CREATE TABLE messages (x)")
    with Queue.open(queue_directory) as queue:
        queue.put_blocking(letter())
    assert len(list((queue_directory / layout.CORRUPT).iterdir())) == 1


def test_a_newer_version_is_left_alone(queue_directory: Path, letter) -> None:
    path = make(queue_directory, letter)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(ForeignQueue):
        Queue.open(queue_directory)
    assert path.exists()
    assert list((queue_directory / layout.CORRUPT).iterdir()) == []


def test_half_a_database_from_a_crash_is_made_anew(queue_directory: Path, letter) -> None:
    layout.prepare(queue_directory)
    (queue_directory / f"{layout.DATABASE}.new").write_bytes(b"half")
    with Queue.open(queue_directory) as queue:
        queue.put_blocking(letter())
    assert not (queue_directory / f"{layout.DATABASE}.new").exists()


def scribble(path: Path) -> None:
    """Damage pages in the middle of the file, as a bad disk does."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        for position in range(size // 2 // 4096 * 4096, size // 2 // 4096 * 4096 + 3 * 4096, 4096):
            file.seek(position)
            file.write(b"\xaa" * 4096)


def test_what_can_be_read_is_saved(queue_directory: Path, letter, caplog) -> None:
    with Queue.open(queue_directory) as queue:
        ids = [queue.put_blocking(letter(body="x" * 3000)) for _ in range(300)]
    scribble(queue_directory / layout.DATABASE)
    with Queue.open(queue_directory) as reader, Queue.open(queue_directory) as writer:
        with pytest.raises(QueueDamaged) as caught:
            for message in reader.messages():
                reader.content(message)
        writer.put_blocking(letter())
        before = {message.queue_id: message.sequence for message in reader.arrivals(0, 5)}
        reader.repair(str(caught.value))
        # Both go on with the new database, without being opened again.
        new = writer.put_blocking(letter())
        left = {message.queue_id: message for message in reader.messages()}
        assert new in left
        assert len(left) > 250
        assert set(left) - {new} < {*ids, *left}
        assert all(left[queue_id].sequence == sequence for queue_id, sequence in before.items() if queue_id in left)
        assert left[new].sequence > max(message.sequence for message in left.values() if message.queue_id != new)
        for message in left.values():
            reader.content(message)
        assert new not in ids
    assert "messages recovered" in caplog.text
