"""A queue in a temporary directory, and messages to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from mta.queue import NewMessage, Queue, QueueOptions, Recipient
from tests.mta.queue.managed import Bench, managers


class Clock:
    """Simulated time, in seconds since the epoch."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue_directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def queue(queue_directory: Path, clock: Clock) -> Iterator[Queue]:
    with Queue.open(queue_directory, QueueOptions(), clock=clock) as opened:
        yield opened


Letter = Callable[..., NewMessage]


@pytest.fixture
def letter() -> Letter:
    def make(*recipients: str, sender: str = "alice@example.org", body: str = "hello", **more: object) -> NewMessage:
        content = f"From: alice@example.org\r\nSubject: test\r\n\r\n{body}\r\n".encode()
        to = [Recipient(address) for address in recipients or ("bob@example.net",)]
        return NewMessage(sender, to, content, **more)

    return make


@pytest.fixture
async def start(queue: Queue, clock: Clock) -> AsyncIterator[Callable[..., Bench]]:
    """Starts queue managers on the queue; its agents do as the test says."""
    async with managers(queue, clock) as begin:
        yield begin
