"""kill -9 at any moment: whatever was acknowledged is there afterwards, whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mta.queue import Queue, layout
from mta.sendmail import maildrop

WRITER = """
import asyncio, os, sys
from mta.queue import NewMessage, Queue, QueueOptions, Recipient

async def main():
    with Queue.open(sys.argv[1], QueueOptions(long_ids=sys.argv[2] == "long")) as queue:
        async def one(number):
            while True:
                number += 1
                # Small ones live in the database, large ones are files of their own.
                size = 200_000 if number % 7 == 0 else 500
                content = (b"%d " % number).ljust(size, b"x") + b"\\r\\n"
                queue_id = await queue.put(NewMessage("a@b", [Recipient("c@d"), Recipient("e@f")], content))
                os.write(1, f"{queue_id} {len(content)}\\n".encode())
        await asyncio.gather(*(one(n * 1_000_000) for n in range(20)))

asyncio.run(main())
"""

DROPPER = """
import os, sys
from pathlib import Path
from mta.sendmail import maildrop
while True:
    path = maildrop.write(Path(sys.argv[1]), maildrop.Drop("a", ("b@x",), os.urandom(3000)))
    os.write(1, f"{path.name}\\n".encode())
"""


def run_until_killed(script: str, *arguments: str, seconds: float) -> list[str]:
    """What the script wrote before it was killed, whole lines only."""
    with subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # it is at work now
        time.sleep(seconds)  # the moment of the crash, not a wait for a condition
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return [line.decode() for line in (first + rest).split(b"\n")[:-1]]


@pytest.mark.parametrize("form", ["short", "long"])
def test_acknowledged_messages_survive(queue_directory: Path, form: str) -> None:
    chance = random.Random(f"crash {form}")
    told: dict[str, int] = {}
    for _ in range(6):
        for line in run_until_killed(WRITER, str(queue_directory), form, seconds=chance.random() * 0.25):
            queue_id, size = line.split()
            assert queue_id not in told
            told[queue_id] = int(size)
        with Queue.open(queue_directory) as queue:
            found = {message.queue_id: message for message in queue.messages()}
            lost = told.keys() - found.keys()
            assert not lost, f"lost {len(lost)} of {len(told)}"
            for queue_id in list(told)[-200:]:
                content = queue.content(found[queue_id])
                assert len(content) == told[queue_id]
                assert len(found[queue_id].recipients) == 2
    assert len(told) > 100
    assert list((queue_directory / layout.CORRUPT).iterdir()) == []


def test_two_writers_one_killed(queue_directory: Path) -> None:
    """The survivor goes on: no lock, no half transaction stays behind."""
    survivor = subprocess.Popen([sys.executable, "-c", WRITER, str(queue_directory), "short"], stdout=subprocess.PIPE)
    try:
        assert survivor.stdout is not None
        survivor.stdout.readline()
        killed = run_until_killed(WRITER, str(queue_directory), "short", seconds=0.2)
        for _ in range(50):
            assert survivor.stdout.readline()
    finally:
        survivor.kill()
        assert survivor.stdout is not None
        survivor.stdout.close()
        survivor.wait()
    with Queue.open(queue_directory) as queue:
        assert {line.split()[0] for line in killed} <= queue.queue_ids()


def test_dropped_mail_survives(tmp_path: Path) -> None:
    layout.prepare(tmp_path)
    told: set[str] = set()
    for seconds in (0.01, 0.05, 0.1):
        told.update(run_until_killed(DROPPER, str(tmp_path), seconds=seconds))
        found = {path.name for path in maildrop.waiting(tmp_path)}
        assert told <= found
        for name in told:
            maildrop.read(tmp_path / layout.MAILDROP / name)


def test_orphaned_bodies_are_cleared_away(queue_directory: Path, letter) -> None:
    from mta.queue.bodies import remove_orphans

    with Queue.open(queue_directory) as queue:
        kept = queue.put_blocking(letter(body="x" * 200_000))
        bodies = queue_directory / layout.BODIES
        for name in ("ABCDEF0", "ABCDEF1.tmp", "fresh"):
            (bodies / name).write_bytes(b"x")
            os.utime(bodies / name, (0, 0))
        (bodies / "ABCDEF2").write_bytes(b"x")  # young: may be in the making
        assert remove_orphans(queue) == 2
        assert {path.name for path in bodies.iterdir()} == {kept, "ABCDEF2", "fresh"}
