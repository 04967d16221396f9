"""Failed log-ins make their address wait: Dovecot's auth penalty (doc/wiki Authentication/Penalty)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .addresses import client_of

BASE = 2.0
"""Seconds that each failure doubles: an address waits 4, then 8, then 15 seconds before its next attempt."""

LONGEST = 15.0
"""Seconds an address waits at most."""

ADDRESSES_MAX = 100_000
"""Addresses remembered; the oldest go first."""

CHECKSUMS = 3
"""Different wrong passwords remembered per address: trying one again, as stubborn programs do, costs no more."""


@dataclass(slots=True)
class _Address:
    failures: int
    counted: float
    last: float
    checksums: tuple[int, ...]


class Penalties:
    """Failures by address. ``clock`` is in seconds."""

    def __init__(self, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._enabled = enabled
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def counts(self, address: str) -> bool:
        """Whether there are failures of the address."""
        return bool(self._addresses) and client_of(address) in self._addresses

    def wait(self, address: str) -> float:
        """Seconds the next attempt from the address has to wait."""
        address = client_of(address)
        found = self._addresses.get(address)
        if found is None or not found.failures:
            return 0.0
        wait = min(LONGEST, BASE * 2.0**found.failures)
        if self._clock() - found.last >= wait:
            # It has kept still for as long as it would have had to wait: a new start.
            del self._addresses[address]
            return 0.0
        return wait

    def failed(self, address: str, checksum: int) -> None:
        """An attempt has failed; ``checksum`` stands for its user name and password."""
        if not self._enabled or not address:
            return
        address = client_of(address)
        found = self._addresses.pop(address, None) or _Address(0, 0.0, 0.0, ())
        now = self._clock()
        if checksum not in found.checksums:
            found.failures = min(found.failures + 1, 8)
            found.counted = now
            found.checksums = (*found.checksums, checksum)[-CHECKSUMS:]
        found.last = now
        self._addresses[address] = found
        while len(self._addresses) > ADDRESSES_MAX:
            self._addresses.popitem(last=False)

    def waiting(self) -> Iterator[tuple[str, int, float, float]]:
        """Addresses with failures: how many, when the last one that counted and the last of all were (seconds since
        1970)."""
        shift = time.time() - self._clock()
        for address, found in self._addresses.items():
            yield address, found.failures, found.counted + shift, found.last + shift

    def succeeded(self, address: str) -> None:
        """A log-in from the address has succeeded: its failures are forgotten."""
        self._addresses.pop(client_of(address), None)
