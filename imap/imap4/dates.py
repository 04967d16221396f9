"""Dates as IMAP writes them (RFC 3501 ``date-time``, ``date``)."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, date, datetime

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name.lower(): number for number, name in enumerate(MONTHS, 1)}

_DATE_TIME = re.compile(
    rb"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"
)
_DATE = re.compile(rb"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4})")


def read_date_time(text: bytes) -> float | None:
    """Seconds since the epoch of a ``date-time``; None for what is none."""
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return None
    day, month, year = int(found[1]), _MONTH.get(found[2].decode().lower()), int(found[3])
    zone = int(found[8]) * 3600 + int(found[9]) * 60
    if month is None or int(found[4]) > 23 or int(found[5]) > 59 or int(found[6]) > 60:
        return None
    try:
        moment = timegm(datetime(year, month, day, int(found[4]), int(found[5])).timetuple()) + int(found[6])
    except ValueError:
        return None
    return float(moment + (zone if found[7] == b"-" else -zone))


def write_date_time(moment: int) -> bytes:
    """``14-Nov-2023 23:13:20 +0000``: in UTC, so that it does not hang on the server's place."""
    when = datetime.fromtimestamp(moment, UTC)
    return f"{when.day:02d}-{MONTHS[when.month - 1]}-{when.year:04d} {when:%H:%M:%S} +0000".encode()


def read_date(text: bytes) -> date | None:
    """A ``date`` of SEARCH; None for what is none."""
    found = _DATE.fullmatch(text)
    month = _MONTH.get(found[2].decode().lower()) if found is not None else None
    if found is None or month is None:
        return None
    try:
        return date(int(found[3]), month, int(found[1]))
    except ValueError:
        return None


def utc_date(moment: int) -> date:
    """The day, in UTC, of seconds since the epoch."""
    return datetime.fromtimestamp(moment, UTC).date()
