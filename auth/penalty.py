"""Failed log-ins make their address wait: Dovecot's auth penalty (doc/wiki Authentication/Penalty)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FIRST = 2.0
"""Seconds to wait after the first failure; each further one doubles it."""

LONGEST = 15.0
"""Seconds an address waits at most."""

TIMEOUT = 120.0
"""Seconds after which an address's failures are forgotten."""

ADDRESSES_MAX = 100_000
"""Addresses remembered; the oldest go first."""

CHECKSUMS = 3
"""Different wrong passwords remembered per address: trying one again, as stubborn programs do, costs no more."""


@dataclass(slots=True)
class _Address:
    failures: int
    last: float
    checksums: tuple[int, ...]


class Penalties:
    """Failures by address. ``clock`` is in seconds."""

    def __init__(self, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._enabled = enabled
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds the next attempt from the address has to wait."""
        found = self._addresses.get(address)
        if found is None or not found.failures:
            return 0.0
        passed = self._clock() - found.last
        if passed >= TIMEOUT:
            del self._addresses[address]
            return 0.0
        return max(0.0, min(LONGEST, FIRST * 2.0 ** (found.failures - 1)) - passed)

    def failed(self, address: str, checksum: int) -> None:
        """An attempt has failed; ``checksum`` stands for its user name and password."""
        if not self._enabled or not address:
            return
        found = self._addresses.pop(address, None) or _Address(0, 0.0, ())
        now = self._clock()
        if now - found.last >= TIMEOUT:
            found = _Address(0, 0.0, ())
        if checksum not in found.checksums:
            found.failures = min(found.failures + 1, 8)
            found.checksums = (*found.checksums, checksum)[-CHECKSUMS:]
        found.last = now
        self._addresses[address] = found
        while len(self._addresses) > ADDRESSES_MAX:
            self._addresses.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """A log-in from the address has succeeded: its failures are forgotten."""
        self._addresses.pop(address, None)
