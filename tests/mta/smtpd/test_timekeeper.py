"""The timer that looks after all connections of a process."""

from __future__ import annotations

import asyncio
from typing import cast

from mta.smtpd.connection import Connection
from mta.smtpd.timekeeper import Timekeeper


class Watched:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.looks: list[float] = []

    def check_deadline(self, now: float) -> None:
        self.looks.append(now)


async def test_everybody_is_looked_after_until_nobody_is_there() -> None:
    keeper, first, second = Timekeeper(), Watched(), Watched()
    connections = cast(set[Connection], {first, second})
    keeper.watch(connections, 0.08)
    keeper.watch(connections, 0.08)
    async with asyncio.timeout(5):
        while len(second.looks) < 3:
            await asyncio.sleep(0.005)
    assert first.looks == second.looks  # one timer, however many ask for it
    connections.clear()
    async with asyncio.timeout(5):
        while keeper._timer is not None:
            await asyncio.sleep(0.005)
    looks = len(first.looks)
    connections.add(cast(Connection, first))
    keeper.watch(connections, 0.08)
    async with asyncio.timeout(5):
        while len(first.looks) == looks:
            await asyncio.sleep(0.005)
    connections.clear()


async def test_a_short_limit_is_kept_more_closely_than_a_long_one() -> None:
    keeper = Timekeeper()
    keeper.watch(set(), 300.0)
    assert keeper._timer is not None
    loop = asyncio.get_running_loop()
    assert 0.9 < keeper._timer.when() - loop.time() <= 1.01
    keeper._timer.cancel()
