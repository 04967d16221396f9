"""Lock-outs: an address or an account with too many failed log-ins is not heard for a while.

Dovecot has none; the parameters are ours (``hardmail_lockout_*``). An account that anybody could lock would be a way to
shut its owner out, so an address from which the user has logged in before is not touched by the account's lock.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .addresses import client_of

REMEMBERED_MAX = 100_000
"""Addresses, accounts and good pairs remembered, of each; the oldest go first."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Bounded(OrderedDict[Key, Value], Generic[Key, Value]):
    """A dictionary of the newest entries."""

    def put(self, key: Key, value: Value) -> None:
        self.pop(key, None)
        self[key] = value
        while len(self) > REMEMBERED_MAX:
            self.popitem(last=False)


@dataclass(slots=True)
class _Failures:
    count: int
    since: float
    locked: bool = False


class Lockouts:
    """Failed log-ins by address and by account. A limit of 0 is none; ``seconds`` is both the time in which failures
    add up and the length of a lock; ``clock`` is in seconds."""

    def __init__(
        self, *, address: int, account: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = {"address": address, "account": account}
        self._seconds = seconds
        self._clock = clock
        self._failures: dict[str, _Bounded[str, _Failures]] = {kind: _Bounded() for kind in self._limits}
        self._good: _Bounded[tuple[str, str], None] = _Bounded()

    @property
    def enabled(self) -> bool:
        """Whether there is any limit."""
        return any(self._limits.values())

    def locked(self, address: str, account: str) -> str:
        """What locks this log-in out: ``address``, ``account``, or "" for nothing."""
        client = client_of(address)
        if self._is_locked("address", client):
            return "address"
        if self._is_locked("account", account) and (account, client) not in self._good:
            return "account"
        return ""

    def failed(self, address: str, account: str) -> list[str]:
        """A log-in has failed; returns what is locked from now on: ``address``, ``account``."""
        names = {"address": client_of(address), "account": account}
        return [kind for kind, name in names.items() if name and self._add(kind, name)]

    def succeeded(self, address: str, account: str) -> None:
        """A log-in has succeeded: its failures are forgotten, its address is a good one for the account."""
        client = client_of(address)
        self._failures["address"].pop(client, None)
        if client and self._limits["account"]:
            self._good.put((account, client), None)

    def _is_locked(self, kind: str, name: str) -> bool:
        found = self._failures[kind].get(name)
        return found is not None and found.locked and self._clock() - found.since < self._seconds

    def _add(self, kind: str, name: str) -> bool:
        """Count one failure; whether it was the one too many."""
        limit = self._limits[kind]
        if not limit:
            return False
        now = self._clock()
        found = self._failures[kind].get(name)
        if found is None or now - found.since >= self._seconds:
            found = _Failures(0, now)
            self._failures[kind].put(name, found)
        found.count += 1
        if found.locked or found.count < limit:
            return False
        found.locked, found.since = True, now
        return True
