"""Queue ids, short and long, as Postfix makes them (postconf(5) enable_long_queue_ids).

Postfix ends an id with the queue file's inode number. Here the number comes from a counter in the database, never used
twice; each process takes a block of it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Final

DIGITS_52: Final = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
"""No vowels: no id spells a word."""
DIGITS_51: Final = DIGITS_52[:-1]
SEPARATOR: Final = "z"
SECONDS_WIDTH: Final = 6
MICROSECONDS_WIDTH: Final = 4

MAX_LENGTH: Final = 100
"""Longer names are not looked at (Postfix: the limit of a file name)."""

_SHORT: Final = re.compile(r"[0-9A-F]{6,}\Z")
_LONG: Final = re.compile(f"[{DIGITS_52}]{{{SECONDS_WIDTH + MICROSECONDS_WIDTH},}}z[{DIGITS_51}]+\\Z")

BLOCK: Final = 1000
"""Numbers a process takes at once; what it does not use is lost, which costs nothing."""


def encode(number: int, digits: str, width: int = 1) -> str:
    """A non-negative number in the base of `digits`, padded with its zero."""
    out = ""
    base = len(digits)
    while number or not out:
        number, digit = divmod(number, base)
        out = digits[digit] + out
    return out.rjust(width, digits[0])


def short_id(microseconds: int, number: int) -> str:
    """Microseconds of the second (five hex digits), then the number."""
    return f"{microseconds:05X}{number:X}"


def long_id(seconds: int, microseconds: int, number: int) -> str:
    """Seconds and microseconds in base 52, `z`, the number in base 51."""
    return (
        encode(seconds, DIGITS_52, SECONDS_WIDTH)
        + encode(microseconds, DIGITS_52, MICROSECONDS_WIDTH)
        + SEPARATOR
        + encode(number, DIGITS_51)
    )


def is_queue_id(text: str) -> bool:
    """True for either form; such a text is safe as a file name."""
    return len(text) <= MAX_LENGTH and bool(_SHORT.match(text) or _LONG.match(text))


class IdFactory:
    """Makes ids for one process. `take_block(n)` reserves n numbers and returns the first (it may raise QueueError)."""

    def __init__(
        self, take_block: Callable[[int], int], long_ids: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self._take_block = take_block
        self._long_ids = long_ids
        self._clock = clock
        self._next = self._end = 0
        self._lock = threading.Lock()

    def new_id(self) -> str:
        with self._lock:
            if self._next == self._end:
                self._next = self._take_block(BLOCK)
                self._end = self._next + BLOCK
            number = self._next
            self._next += 1
        seconds, microseconds = divmod(int(self._clock() * 1_000_000), 1_000_000)
        return long_id(seconds, microseconds, number) if self._long_ids else short_id(microseconds, number)
