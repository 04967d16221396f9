"""SIGKILL at random moments to IMAP, LMTP, auth and their supervisor while sessions deliver, append, flag, copy, move and expunge.

What was acknowledged is there, every folder opens, no UID ever names a second message. By hand, with 200 kills:
`pytest -m soak tests/crash/test_mailstore.py` (a few minutes).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.mailstore import USERS, Ledger, MailHost, Worker, faults, read

VICTIMS = ("imap", "lmtp", "imap", "auth", "supervisor")
SESSIONS = 20
# Between two kills the sessions get this long, drawn anew each time (seconds).
PAUSE_SECONDS = (0.1, 0.7)
CHECKED_AFTER = 50  # kills


async def storm(directory: Path, kills: int, seed: int) -> str:
    """Kill so often, then look at everything; the figures, for people."""
    host, ledger, dice, killed = MailHost(directory), Ledger(), random.Random(seed), Counter[str]()
    over = False
    await host.start()
    try:
        workers = [
            Worker(host, ledger, USERS[n % len(USERS)], random.Random(f"{seed}.{n}"), lambda: over)
            for n in range(SESSIONS)
        ]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        for number in range(kills):
            await asyncio.sleep(dice.uniform(*PAUSE_SECONDS))
            name = VICTIMS[number % len(VICTIMS)]
            killed[name] += await host.kill(name)
            assert not any(task.done() for task in tasks), [task.exception() for task in tasks if task.done()]
        over = True
        await asyncio.gather(*tasks)
        await host.kill("supervisor")
        wrong = faults(ledger, await read(host, ledger))
    finally:
        await host.stop()
    figures = f"seed {seed}: {killed.total()} processes killed {dict(killed)}, acknowledged {dict(ledger.done)}"
    assert not wrong, "\n".join([figures, *wrong[:20]])
    assert set(ledger.done) == {"deliver", "append", "flag", "copy", "move", "expunge"}, figures
    assert set(killed) == set(VICTIMS)
    return figures


@pytest.mark.slow
async def test_what_was_acknowledged_outlives_kills(place: Path) -> None:
    async with asyncio.timeout(120):
        await storm(place, 10, random.randrange(1 << 32))


@pytest.mark.soak
async def test_what_was_acknowledged_outlives_200_kills(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with asyncio.timeout(1200):
        figures = await storm(place, 200, random.randrange(1 << 32))
    with capsys.disabled():
        print(f"\n{figures}")
