"""The Date field (RFC 5322 section 3.3), read as leniently as Dovecot does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from imap.mime.rfc822 import Cursor

_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_ZONES = {b"EST": -5, b"EDT": -4, b"CST": -6, b"CDT": -5, b"MST": -7, b"MDT": -6, b"PST": -8, b"PDT": -7}


def read(value: bytes) -> tuple[datetime, timedelta] | None:
    """The moment in UTC and the zone's offset; None for what cannot be read."""
    cursor = Cursor(value)
    cursor.skip_white()
    word = _word(cursor)
    if len(word) == 3:
        if cursor.peek() != 0x2C:
            return None
        cursor.position += 1
        cursor.skip_white()
        word = _word(cursor)
    try:
        day, month, year = _number(word, 1), _MONTHS.index(_word(cursor)[:3].lower()) + 1, _year(_word(cursor))
        hour, minute, second = _time(cursor)
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        zone = _word(cursor)
        if cursor.broken or (not zone and cursor.more()):
            return None
        offset = timedelta(minutes=_offset(zone))
        return local - offset, offset
    except (ValueError, OverflowError):
        return None


def _word(cursor: Cursor) -> bytes:
    word = cursor.atom()
    cursor.skip_white()
    return word


def _number(digits: bytes, least: int = 2) -> int:
    """One or two digits, at least ``least``. Raises ValueError."""
    if not least <= len(digits) <= 2 or not digits.isdigit():
        raise ValueError(digits)
    return int(digits)


def _year(digits: bytes) -> int:
    if len(digits) not in (2, 4) or not digits.isdigit():
        raise ValueError(digits)
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 70 else 1900)
    if year < 1900:
        raise ValueError(digits)
    return year


def _time(cursor: Cursor) -> tuple[int, int, int]:
    """``hh:mm[:ss]``, a dot as good as a colon. Raises ValueError."""
    hour = _number(_word(cursor), 1)
    if not _separator(cursor):
        raise ValueError("no minutes")
    minute = _number(_word(cursor))
    second = _number(_word(cursor)) if _separator(cursor) else 0
    return hour, minute, min(second, 59)


def _separator(cursor: Cursor) -> bool:
    if cursor.peek() not in b":.":
        return False
    cursor.position += 1
    cursor.skip_white()
    return True


def _offset(zone: bytes) -> int:
    """Minutes east of Greenwich; zones that nobody knows count as there (RFC 5322 section 4.3)."""
    if len(zone) == 5 and zone[:1] in b"+-" and zone[1:].isdigit():
        minutes = int(zone[1:3]) * 60 + int(zone[3:])
        return minutes if zone[:1] == b"+" else -minutes
    if len(zone) == 1 and zone.isalpha():
        letter = zone.upper()[0]
        if letter < 0x4A:  # A to I
            return (letter - 0x40) * 60
        if 0x4A < letter <= 0x4D:  # K to M
            return (letter - 0x41) * 60
        return (0x4D - letter) * 60 if 0x4D < letter < 0x5A else 0  # N to Y; J and Z
    return _ZONES.get(zone, 0) * 60
