"""What the databases have said lately (doc/wiki Authentication/Caching): entries, and that a user is unknown."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .databases import Entry, Verdict
from .results import Result

OVERHEAD = 200
"""Octets of an entry besides its text, to turn auth_cache_size into what is kept."""


@dataclass(slots=True)
class Kept:
    """An answer. It holds before ``until``; one that is older serves only while the database cannot be asked."""

    answer: Entry | Verdict = field(repr=False)
    user: str
    octets: int
    until: float
    doubted: float
    """From when on another password than the entry's is a reason to ask again, as it is after a success."""
    succeeded: bool = False
    """Whether the last password was the right one."""


class EntryCache:
    """Answers by key, the oldest of which go first. ``octets`` 0 is no cache; times are in seconds."""

    def __init__(
        self, octets: int, ttl: float, negative_ttl: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = octets
        self._ttl = ttl
        self._negative_ttl = negative_ttl
        self._clock = clock
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._octets = 0
        self.changes = 0
        """How often an answer has been followed by another one, or was to be forgotten."""

    @property
    def enabled(self) -> bool:
        """Whether anything is kept."""
        return self._limit > 0

    def get(self, key: str) -> Kept | None:
        """The last answer, however old."""
        return self._kept.get(key)

    def holds(self, kept: Kept) -> bool:
        """Whether the answer is not too old."""
        return self._clock() < kept.until

    def trusts(self, kept: Kept) -> bool:
        """Whether another password than the remembered one is wrong, and not a sign that it has been changed."""
        return not kept.succeeded and self._clock() < kept.doubted

    def put(self, key: str, user: str, answer: Entry | Verdict) -> Kept | None:
        """Keep an answer; a verdict other than "unknown" is about one password and changes nothing."""
        known = self._kept.get(key)
        if isinstance(answer, Verdict) and answer.result is not Result.UNKNOWN:
            return known
        if known is not None and self.holds(known) and known.answer != answer:
            self.changes += 1
        self._drop(key)
        ttl = self._negative_ttl if isinstance(answer, Verdict) else self._ttl
        texts = [key, user, *(text for pair in answer.fields for text in pair if text)]
        if isinstance(answer, Entry):
            texts.append(answer.password or "")
        octets = OVERHEAD + sum(map(len, texts))
        if ttl <= 0 or octets > self._limit:
            return None
        now = self._clock()
        if known is None or known.answer != answer:
            known = Kept(answer, user, octets, 0.0, 0.0)
        known.until, known.doubted = now + ttl, now + self._negative_ttl
        self._kept[key] = known
        self._octets += octets
        while self._octets > self._limit:
            self._drop(next(iter(self._kept)))
        return known

    def flush(self, users: Sequence[str] = ()) -> int:
        """Forget what is known of these users, or everything; returns how many entries that was."""
        keys = [key for key, kept in self._kept.items() if not users or kept.user in users]
        for key in keys:
            self._drop(key)
        self.changes += 1
        return len(keys)

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._octets -= kept.octets
