"""What is known of addresses, and for how long: the decisions of verify(8). No I/O but the store's."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mta.verify.protocol import Fate
from mta.verify.store import Store

if TYPE_CHECKING:
    from mta.config import MainConfig

log = logging.getLogger("postfix.verify")

PROBE_SECONDS: Final = 1000.0
"""How long the outcome of a probe is waited for before another one is sent (PROBE_TTL)."""

IN_PROGRESS: Final = "Address verification in progress"

_VALUE: Final = re.compile(r"([0-3]):(\d{1,12}):(\d{1,12}):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One address. Times are seconds since the epoch, 0 for never."""

    fate: Fate
    probed: int
    """When the probe under way was sent; 0 when its outcome has come."""
    updated: int
    """When the fate was found."""
    text: str

    @classmethod
    def parse(cls, value: str | None) -> Entry | None:
        """The value of a table; None for what is none."""
        match = _VALUE.fullmatch(value or "")
        return cls(Fate(int(match[1])), int(match[2]), int(match[3]), match[4]) if match else None

    def __str__(self) -> str:
        return f"{self.fate.value}:{self.probed}:{self.updated}:{self.text}"


NOTHING: Final = Entry(Fate.UNKNOWN, 0, 0, IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """address_verify_*; times in seconds."""

    positive_expire: float = 31 * 86400.0
    positive_refresh: float = 7 * 86400.0
    negative_expire: float = 3 * 86400.0
    negative_refresh: float = 3 * 3600.0
    negative_cache: bool = True

    @classmethod
    def from_config(cls, config: MainConfig) -> CacheSettings:
        seconds = config.seconds
        return cls(
            seconds("address_verify_positive_expire_time"),
            seconds("address_verify_positive_refresh_time"),
            seconds("address_verify_negative_expire_time"),
            seconds("address_verify_negative_refresh_time"),
            config.bool("address_verify_negative_cache"),
        )


class Cache:
    """Answers with what is known, and says when a probe is wanted. Raises TableError where the store fails."""

    def __init__(self, store: Store, settings: CacheSettings, clock: Callable[[], float]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    def ask(self, address: str) -> tuple[Entry, bool]:
        """What is known of an address, and whether it is to be probed now; the caller then sends a probe."""
        settings, now, key = self._settings, self._clock(), key_of(address)
        entry = Entry.parse(known := self._store.get(key))
        waits = entry is not None and now - entry.probed <= PROBE_SECONDS
        if entry is None or (not waits and self._expired(entry, now)):
            if known is not None and not settings.negative_cache:
                self._store.delete(key)
            entry = NOTHING
        if waits or not self._stale(entry, now):
            return entry, False
        if entry.updated or settings.negative_cache:
            self._store.put(key, str(Entry(entry.fate, int(now), entry.updated, entry.text)))
        return entry, True

    def note(self, address: str, fate: Fate, text: str) -> None:
        """The outcome of a probe. What was good stays good until it expires, whatever a later probe meets."""
        if fate is not Fate.DELIVERABLE and not self._settings.negative_cache:
            return
        now, key = self._clock(), key_of(address)
        entry = Entry.parse(self._store.get(key))
        if (
            fate is not Fate.DELIVERABLE
            and entry is not None
            and entry.fate is Fate.DELIVERABLE
            and not self._expired(entry, now)
        ):
            return
        self._store.put(key, str(Entry(fate, 0, int(now), text)))

    def clean(self) -> None:
        """Drop what has expired (address_verify_cache_cleanup_interval)."""
        now, retained, dropped = self._clock(), 0, []
        for key, value in self._store.items():
            entry = Entry.parse(value)
            if entry is None or (now - entry.probed > PROBE_SECONDS and self._expired(entry, now)):
                dropped.append(key)
            else:
                retained += 1
        for key in dropped:
            self._store.delete(key)
        log.info("cache %s full cleanup: retained=%d dropped=%d entries", self._store.name, retained, len(dropped))

    def _expired(self, entry: Entry, now: float) -> bool:
        settings = self._settings
        good = entry.fate is Fate.DELIVERABLE
        return entry.updated + (settings.positive_expire if good else settings.negative_expire) < now

    def _stale(self, entry: Entry, now: float) -> bool:
        settings = self._settings
        good = entry.fate is Fate.DELIVERABLE
        return entry.updated + (settings.positive_refresh if good else settings.negative_refresh) < now


def key_of(address: str) -> str:
    """An address as the table has it: its value is divided at colons, so there are none (verify.c)."""
    return address.replace(":", "_")
