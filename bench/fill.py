"""Fills a queue with deferred mail through the queue's own interface: 100,000 messages in seconds, each durable."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mta.queue import NewMessage, Queue, Recipient
from mta.queue.changes import Defer, Outcome, Progress

BATCH = 500
"""Messages put at once: one transaction of the queue's writer."""
REASON = "connect to 127.0.0.1[127.0.0.1]:25: Connection refused"


def content(number: int, octets: int) -> bytes:
    """A message of about that many octets."""
    head = f"From: <sender@example.org>\r\nSubject: {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n".encode()
    line = b"x" * 70 + b"\r\n"
    return head + line * max(1, (octets - len(head)) // len(line))


async def fill(
    queue: Queue,
    count: int,
    domain: Callable[[int], str],
    *,
    octets: int = 2048,
    due: Callable[[int], float] = lambda number: time.time() + 3600,
) -> None:
    """Put `count` messages, user NUMBER at `domain(NUMBER)`, deferred until `due(NUMBER)` (seconds since the epoch)."""
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        messages = [
            NewMessage("sender@example.org", [Recipient(f"u{number}@{domain(number)}")], content(number, octets))
            for number in numbers
        ]
        queue_ids = await asyncio.gather(*(queue.put(message) for message in messages))
        await asyncio.gather(*(_defer(queue, *pair) for pair in zip(queue_ids, map(due, numbers), strict=True)))


async def _defer(queue: Queue, queue_id: str, due: float) -> None:
    message = queue.find(queue_id)
    assert message is not None
    waits = Progress(message.sequence, waiting={0: Outcome("4.4.1", REASON, "delayed")})
    await queue.change(waits, Defer(message.sequence, due))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fill", description=__doc__, epilog="example: python -m bench.fill /tmp/spool 100000"
    )
    parser.add_argument("queue_directory", type=Path)
    parser.add_argument("messages", type=int)
    parser.add_argument("--domains", type=int, default=10, help="number of recipient domains (10)")
    options = parser.parse_args(argv)
    began = time.monotonic()
    with Queue.open(options.queue_directory) as queue:
        asyncio.run(fill(queue, options.messages, lambda number: f"d{number % options.domains}.example"))
    seconds = time.monotonic() - began
    print(f"{options.messages} messages in {seconds:.1f} s, {options.messages / seconds:.0f}/s")


if __name__ == "__main__":
    main()
