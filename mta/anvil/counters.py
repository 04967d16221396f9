"""Statistics about clients: open connections, and events per unit of time (anvil(8))."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

EVENTS: Final = frozenset({"connect", "message", "recipient", "newtls", "auth"})
"""What can be counted; `connect` also counts how many connections are open."""

IDENTS_LIMIT: Final = 100_000
"""(service, client) combinations remembered at once; who has more addresses is not stopped by counting them."""


class Count(NamedTuple):
    """What is known of a (service, client) combination after an event."""

    open: int
    """Connections open now."""
    rate: int
    """Events of this kind in the current unit of time."""


class Counter(Protocol):
    """Counts events; raises OSError where the counting service does not answer."""

    async def register(self, event: str, ident: str) -> Count: ...
    def disconnect(self, ident: str) -> None: ...


@dataclass(slots=True)
class _Client:
    since: float
    open: int = 0
    events: dict[str, int] = field(default_factory=dict)


class Counters:
    """The table of one counting process. Times in seconds."""

    def __init__(self, time_unit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._time_unit = time_unit
        self._clock = clock
        self._clients: dict[str, _Client] = {}

    def register(self, event: str, ident: str) -> Count:
        """Count one event of EVENTS for a (service, client) combination."""
        client = self._client(ident)
        if event == "connect":
            client.open += 1
        now = self._clock()
        if now - client.since >= self._time_unit:
            client.events.clear()
            client.since = now
        client.events[event] = client.events.get(event, 0) + 1
        return Count(client.open, client.events[event])

    def disconnect(self, ident: str) -> None:
        """A connection that was registered has ended."""
        client = self._clients.get(ident)
        if client is not None and client.open > 0:
            client.open -= 1

    def _client(self, ident: str) -> _Client:
        client = self._clients.get(ident)
        if client is None:
            if len(self._clients) >= IDENTS_LIMIT:
                self._forget_idle()
            client = self._clients[ident] = _Client(self._clock())
        return client

    def _forget_idle(self) -> None:
        horizon = self._clock() - self._time_unit
        self._clients = {ident: c for ident, c in self._clients.items() if c.open > 0 or c.since > horizon}


class LocalCounter:
    """Counters for a service that is one process: no other process has to be asked."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def register(self, event: str, ident: str) -> Count:
        return self._counters.register(event, ident)

    def disconnect(self, ident: str) -> None:
        self._counters.disconnect(ident)
