"""Sequence sets such as ``1,3:5,8:*`` (RFC 3501 section 9 ``sequence-set``), read, resolved and written."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from imap.imap4.errors import Bad

MAX_NUMBER = 0xFFFFFFFF  # nz-number of RFC 3501 is 32 bits wide
_STAR = MAX_NUMBER + 1

_RANGE = re.compile(rb"(?:([0-9]{1,10})|(\*))(?::(?:([0-9]{1,10})|(\*)))?")


class SequenceSet:
    """Ranges of numbers, sorted and joined; ``*`` is open until it is resolved."""

    __slots__ = ("ranges",)

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self.ranges = ranges

    @classmethod
    def parse(cls, text: bytes, complaint: str = "Invalid messageset") -> SequenceSet:
        """Read a set; as Dovecot, a comma may end it. Raises Bad."""
        ranges: list[tuple[int, int]] = []
        for piece in text.removesuffix(b",").split(b","):
            found = _RANGE.fullmatch(piece)
            if found is None:
                raise Bad(complaint)
            if any(number is not None and not 1 <= int(number) <= MAX_NUMBER for number in (found[1], found[3])):
                raise Bad(complaint)
            first = _STAR if found[2] else int(found[1])
            last = first if found[3] is None and found[4] is None else _STAR if found[4] else int(found[3])
            ranges.append((min(first, last), max(first, last)))
        return cls(_joined(ranges))

    def resolved(self, star: int) -> list[tuple[int, int]]:
        """The ranges with ``*`` standing for ``star``."""
        fixed = [(min(a, star) if a == _STAR else a, star if b == _STAR else b) for a, b in self.ranges]
        return _joined([(min(a, b), max(a, b)) for a, b in fixed])

    def limited(self, star: int) -> list[tuple[int, int]]:
        """As :meth:`resolved` for the keys of SEARCH, where ``n:*`` with n behind the last message is empty."""
        fixed = [(star if a == _STAR else a, star if b == _STAR else b) for a, b in self.ranges]
        return [(a, b) for a, b in fixed if a <= b]

    def positions(self, count: int) -> list[range]:
        """As message sequence numbers of a mailbox of ``count`` messages. Raises Bad for one that is not there."""
        ranges = self.resolved(count)
        if count == 0 or ranges[-1][1] > count:
            raise Bad("Invalid messageset")
        return [range(a, b + 1) for a, b in ranges]

    def uid_positions(self, uids: Sequence[int]) -> list[range]:
        """As UIDs: the sequence numbers of those that exist in ``uids`` (ascending)."""
        if not uids:
            return []
        found = []
        for first, last in self.resolved(uids[-1]):
            start, stop = bisect_left(uids, first), bisect_right(uids, last)
            if start < stop:
                found.append(range(start + 1, stop + 1))
        return found


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    ranges.sort()
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            if last > joined[-1][1]:
                joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def write(numbers: Iterable[int]) -> bytes:
    """Numbers, in the order given, with runs shortened to ``first:last``."""
    pieces: list[bytes] = []
    first = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if first is not None and last is not None:
            pieces.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
        first = last = number
    if first is not None and last is not None:
        pieces.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
    return b",".join(pieces)
