"""Dates as IMAP writes them (RFC 3501 ``date-time``, ``date``)."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, date, datetime

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name.lower(): number for number, name in enumerate(MONTHS, 1)}

_DATE_TIME = re.compile(
    rb"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) (?:([+-])([0-9]{2})([0-9]{2})\Z|.*)"
)
_DATE = re.compile(rb"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4})")


def read_date_time(text: bytes) -> float | None:
    """Seconds since the epoch of a ``date-time``, None for a moment that no calendar has. Raises ValueError.

    As Dovecot, a zone that is none counts as UTC.
    """
    found = _DATE_TIME.fullmatch(text)
    month = _MONTH.get(found[2].decode().lower()) if found is not None else None
    if found is None or month is None:
        raise ValueError("not a date-time")
    zone = int(found[8]) * 3600 + int(found[9]) * 60 if found[7] else 0
    try:
        seconds = min(int(found[6]), 59) if int(found[6]) <= 60 else 60  # a leap second has no number
        when = datetime(int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), seconds)
    except ValueError:
        return None
    return float(timegm(when.timetuple()) + (zone if found[7] == b"-" else -zone))


def write_date_time(moment: int) -> bytes:
    """``14-Nov-2023 23:13:20 +0000``: in UTC, so that it does not hang on the server's place."""
    when = datetime.fromtimestamp(moment, UTC)
    return f"{when.day:02d}-{MONTHS[when.month - 1]}-{when.year:04d} {when:%H:%M:%S} +0000".encode()


def read_date(text: bytes) -> date | None:
    """A ``date`` of SEARCH; None for what is none.

    As Dovecot, a day that no calendar has is as far away as can be: in the past up to the year 2000, else ahead.
    """
    found = _DATE.fullmatch(text)
    month = _MONTH.get(found[2].decode().lower()) if found is not None else None
    if found is None or month is None:
        return None
    try:
        return date(int(found[3]), month, int(found[1]))
    except ValueError:
        return date.min if int(found[3]) <= 2000 else date.max


def utc_date(moment: int) -> date:
    """The day, in UTC, of seconds since the epoch."""
    return datetime.fromtimestamp(moment, UTC).date()
