"""Deferred mail that is to be tried, in fair order: of each destination in turn, whatever came first or most."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

from mta.queue.reading import Deferred

DESTINATION_LIMIT: Final = 1000
"""Messages to one domain that the active queue takes from the backlog. More would only hold up others, and new mail,
while the domain has enough to do: it is a second's work for the fastest."""


class Backlog:
    """Sequences of messages by the domain of their first recipient; 8 octets for each."""

    def __init__(self) -> None:
        self._waiting: dict[str, array[int]] = {}
        self._turns: deque[str] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, messages: Iterable[Deferred]) -> None:
        """In the order in which they are to be tried within their domain; before the first `take`."""
        for message in messages:
            waiting = self._waiting.get(message.domain)
            if waiting is None:
                waiting = self._waiting[message.domain] = array("q")
                self._turns.append(message.domain)
            waiting.append(message.sequence)
            self._count += 1

    def close(self) -> None:
        """All are here: the first of each is to be taken first, which is cheap at the end of an array."""
        for waiting in self._waiting.values():
            waiting.reverse()

    def take(self, limit: int, active: Callable[[str], int]) -> list[int]:
        """The next ones, at most `limit`; `active` tells how many messages to a domain are in the active queue."""
        found: list[int] = []
        taken: Counter[str] = Counter()
        passed = 0
        while len(found) < limit and passed < len(self._turns):
            domain = self._turns.popleft()
            if active(domain) + taken[domain] >= DESTINATION_LIMIT:
                self._turns.append(domain)
                passed += 1
                continue
            passed = 0
            waiting = self._waiting[domain]
            found.append(waiting.pop())
            taken[domain] += 1
            if waiting:
                self._turns.append(domain)
            else:
                del self._waiting[domain]
        self._count -= len(found)
        return found
