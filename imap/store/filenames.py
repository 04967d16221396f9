"""Maildir file names: unique base name, sizes, and the flags behind `:2,` (maildir(5), Dovecot's additions).

A name is `BASE` in new/ and `BASE:2,FLAGS` in cur/. BASE is `SECONDS.MmicrosecondsPpid.HOST,S=octets,W=octets`, where
S is the size on disk and W the size with CRLF line ends. FLAGS are the letters D F R S T (upper case, in ASCII order),
letters of other programs (P ...), which are kept, and a to z for the keywords 0 to 25 of `dovecot-keywords`.
"""

import os
import re
import threading
import time

from imap.store.types import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

# Bits by which the index keeps the system flags.
BIT_OF = {ANSWERED: 1, FLAGGED: 2, DELETED: 4, SEEN: 8, DRAFT: 16}
BIT_SEEN, BIT_DELETED = BIT_OF[SEEN], BIT_OF[DELETED]
_BIT_OF_LETTER = {"R": 1, "F": 2, "T": 4, "S": 8, "D": 16}
_SIZE = re.compile(r",([SW])=([0-9]{1,18})(?=[,:]|$)")
# dovecot-keywords numbers that fit the letters a to z.
KEYWORD_LETTERS = 26
_TIME = re.compile(r"([0-9]{1,18})(?:\.M([0-9]{1,9}))?")


def split(name: str) -> tuple[str, str]:
    """(base, info): info begins with ":" or is empty."""
    base, colon, rest = name.partition(":")
    return base, colon + rest


def letters(info: str) -> str:
    """The flag letters of an info part; "" if it has none in the 2, form."""
    return info[3:].partition(",")[0] if info.startswith(":2,") else ""


def bits(info: str) -> int:
    """The system flags of an info part as bits."""
    result = 0
    for letter in letters(info):
        result |= _BIT_OF_LETTER.get(letter, 0)
    return result


def keyword_numbers(info: str) -> list[int]:
    """The keyword numbers (0 to 25) of an info part."""
    return [ord(letter) - ord("a") for letter in letters(info) if "a" <= letter <= "z"]


def info(flag_bits: int, keywords: list[int], previous: str = "") -> str:
    """The info part for these flags; letters of other programs and fields behind them in `previous` are kept."""
    foreign = {x for x in letters(previous) if x not in _BIT_OF_LETTER and not "a" <= x <= "z"}
    own = {letter for letter, bit in _BIT_OF_LETTER.items() if flag_bits & bit}
    small = {chr(ord("a") + number) for number in keywords if 0 <= number < KEYWORD_LETTERS}
    _, comma, extra = previous[3:].partition(",") if previous.startswith(":2,") else ("", "", "")
    return ":2," + "".join(sorted(own | foreign)) + "".join(sorted(small)) + comma + extra


def sizes(base: str) -> tuple[int | None, int | None]:
    """(size on disk, size with CRLF) as the base name tells them, None where it does not."""
    found = {key: int(value) for key, value in _SIZE.findall(base)}
    return found.get("S"), found.get("W")


def arrival_key(name: str) -> tuple[int, int, str]:
    """Sort key by time of delivery, for giving UIDs in order of arrival."""
    match = _TIME.match(name)
    if match is None:
        return (0, 0, name)
    return (int(match[1]), int(match[2] or 0), name)


class UniqueNames:
    """Base names that no other process, host or moment makes again: time, microseconds, process, host."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()
        self._host = os.uname().nodename.split(".")[0].replace("/", "\\057").replace(":", "\\072").replace(",", "")

    def next(self) -> str:
        """A new base name without sizes."""
        with self._lock:
            now = max(time.time_ns() // 1000, self._last + 1)
            self._last = now
        return f"{now // 1_000_000}.M{now % 1_000_000}P{os.getpid()}.{self._host}"


unique = UniqueNames()
