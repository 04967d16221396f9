"""Every state in which a crash, a bad disk or somebody else can leave the files: the queue opens, and reports what it lost."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from mta.queue import Queue, layout
from mta.queue.reading import MessageCorrupt

FRAME, HEADER, MAILS = 4096 + 24, 32, 7
"""Of a write-ahead log: octets of a frame, of the header."""


@pytest.fixture
def crashed(tmp_path: Path, letter) -> tuple[Path, list[str]]:
    """The files as a crash left them: everything is in the log, nothing in the database; and the ids in order."""
    with Queue.open(tmp_path / "live") as queue:
        ids = [queue.put_blocking(letter(body="x" * 3000)) for _ in range(MAILS)]
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    return tmp_path / "crashed", ids


def survivors(crashed: Path, place: Path, damage) -> list[str]:
    """The ids that a queue with such damage still has, each with its content; it takes new mail too."""
    shutil.copytree(crashed, place)
    damage(place)
    with Queue.open(place) as queue:
        kept = list(queue.messages())
        for message in kept:
            queue.content(message)
        assert queue.new_id() not in {message.queue_id for message in kept}
    with contextlib.closing(sqlite3.connect(place / layout.DATABASE)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert list((place / layout.CORRUPT).iterdir()) == []
    shutil.rmtree(place)
    return [message.queue_id for message in kept]


def test_a_log_that_is_torn_anywhere_keeps_what_stands_before(crashed: tuple[Path, list[str]], tmp_path: Path) -> None:
    directory, ids = crashed
    wal = f"{layout.DATABASE}-wal"
    size = (directory / wal).stat().st_size
    dice = random.Random(size)
    edges = range(HEADER, size + 1, FRAME)
    before: list[str] = []
    for length in sorted({0, 1, HEADER - 1, *edges, *(edge + dice.randrange(1, FRAME) for edge in edges[:-1:6])}):
        with_log = survivors(directory, tmp_path / "torn", lambda place, n=length: truncate(place / wal, n))
        assert with_log == ids[: len(with_log)]
        assert len(with_log) >= len(before)
        before = with_log
    assert before == ids


def truncate(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)


@pytest.mark.parametrize("seed", range(8))
def test_a_log_with_wrong_octets_keeps_what_stands_before(
    crashed: tuple[Path, list[str]], tmp_path: Path, seed: int
) -> None:
    directory, ids = crashed
    dice = random.Random(seed)

    def damage(place: Path) -> None:
        with (place / f"{layout.DATABASE}-wal").open("r+b") as file:
            file.seek(dice.randrange(file.seek(0, 2)))
            file.write(dice.randbytes(dice.choice([1, 24, 4096])))

    kept = survivors(directory, tmp_path / "torn", damage)
    assert kept == ids[: len(kept)]


def test_shared_memory_is_only_a_cache(crashed: tuple[Path, list[str]], tmp_path: Path) -> None:
    directory, ids = crashed
    for octets in (b"", b"\xff" * 32768, b"x"):
        kept = survivors(directory, tmp_path / "torn", lambda place, o=octets: (place / "queue.db-shm").write_bytes(o))
        assert kept == ids


JUNK = [None, -1, 0, 1 << 62, 1.5, "", "junk", "[]", "null", '{"attributes": 3}', b"\xff\xfe", "9" * 400]
COLUMNS = {
    "messages": "queue_id queue sender arrival size next_attempt attempts warned recipient_count envelope checksum",
    "recipients": "position outcome address original orcpt notify dsn reason record",
    "contents": "data",
}


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, columns in COLUMNS.items() for column in columns.split()]
)
def test_junk_in_any_column_harms_one_message(queue: Queue, letter, table: str, column: str) -> None:
    for junk in JUNK:
        bad = queue.put_blocking(letter())
        good = queue.put_blocking(letter())
        sequence = next(message.sequence for message in queue.messages() if message.queue_id == bad)
        with contextlib.closing(sqlite3.connect(queue.directory / layout.DATABASE)) as raw, raw:
            raw.execute("PRAGMA ignore_check_constraints = ON")
            with contextlib.suppress(sqlite3.IntegrityError, sqlite3.OperationalError):
                raw.execute(f"UPDATE {table} SET {column} = ? WHERE sequence = ?", (junk, sequence))
        listed = {message.sequence: message for message in queue.messages()}
        for message in listed.values():
            with contextlib.suppress(MessageCorrupt):
                queue.content(message)
        [left] = [message for message in listed.values() if message.queue_id == good]
        queue.content(left)
        queue.change_blocking(*(queue.remove(message) for message in listed.values()))
        assert list(queue.messages()) == []
