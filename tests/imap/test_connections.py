"""Sessions of one user from one address are counted over processes, and a dead process counts no more."""

from __future__ import annotations

import os
from typing import Any

import pytest

from imap.connections import Connections


@pytest.fixture
def counter(mail: Any) -> Any:
    counter = Connections(mail.root, "imap")
    yield counter
    counter.close()


def in_child(work: Any) -> int:
    """Run `work` in a forked process; what it returns (0..100), 101 if it raised."""
    child = os.fork()
    if child == 0:
        status = 101
        try:
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_limit(counter: Any) -> None:
    first = counter.enter("alice", "127.0.0.1", 2)
    assert counter.enter("alice", "127.0.0.1", 2) is not None
    assert counter.enter("alice", "127.0.0.1", 2) is None
    assert counter.enter("alice", "127.0.0.2", 2) is not None
    assert counter.enter("bob", "127.0.0.1", 2) is not None
    counter.leave(first)
    assert counter.enter("alice", "127.0.0.1", 2) is not None


def test_another_process_counts(mail: Any, counter: Any) -> None:
    counter.enter("alice", "127.0.0.1", 2)

    def other() -> int:
        mine = Connections(mail.root, "imap")
        return sum(mine.enter("alice", "127.0.0.1", 2) is not None for _ in range(3))

    assert in_child(other) == 1, "one of two places is taken here"
    assert counter.enter("alice", "127.0.0.1", 2) is not None, "the other process is gone, and its place is free"


def test_protocols_are_counted_apart(mail: Any, counter: Any) -> None:
    counter.enter("alice", "127.0.0.1", 1)

    def other() -> int:
        return Connections(mail.root, "pop3").enter("alice", "127.0.0.1", 1) is not None

    assert in_child(other) == 1
