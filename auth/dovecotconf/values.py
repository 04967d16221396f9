"""Values of dovecot.conf: text to number and back, with the words of Dovecot's own messages."""

from __future__ import annotations

import math
import re

from .parameters import Parameter

_TIME = re.compile(r"([0-9]{1,10})[ \t]*([A-Za-z]*)\Z")
_SIZE = re.compile(r"([0-9]{1,20})[ \t]*([A-Za-z]?)[A-Za-z]?\Z")
_UNITS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (1, ("secs", "seconds")),
    (60, ("mins", "minutes")),
    (3600, ("hours",)),
    (86400, ("days",)),
    (604800, ("weeks",)),
)
_MILLISECONDS = ("msecs", "mseconds", "milliseconds")
_POWERS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
UNSIGNED = 2**32 - 1
"""Largest ``number``; as a time it means "for ever" (Dovecot writes 4294967295 secs)."""
SIZE_MAX = 2**64 - 1
"""Largest ``size``; means "no limit of its own"."""


class BadValue(ValueError):
    """A value that its parameter cannot take; the text is what doveconf says after file and line."""


def parse_boolean(text: str) -> bool:
    """``yes``, ``y``, ``1`` or ``no``, in any case."""
    lower = text.lower()
    if lower in ("yes", "y", "1"):
        return True
    if lower == "no":
        return False
    raise BadValue(f"Invalid boolean value: {text} (use yes or no)")


def parse_seconds(text: str) -> int:
    """A time in seconds; every unit may be cut short (``2 m``), and only 0 goes without."""
    match = _TIME.match(text)
    if not match:
        raise BadValue(f"Invalid time interval: {text}")
    digits, unit = int(match[1]), match[2].lower()
    if digits == 0 and not unit:
        return 0
    if not unit:
        raise BadValue(f"Time interval '{text}' is missing units (add e.g. 's' for seconds)")
    for factor, names in _UNITS:
        if any(name.startswith(unit) for name in names):
            return min(digits * factor, UNSIGNED)
    if len(unit) > 1 and any(name.startswith(unit) for name in _MILLISECONDS):
        if digits % 1000:
            raise BadValue(f"Milliseconds not supported for this setting: {text}")
        return digits // 1000
    raise BadValue(f"Invalid time interval: {text}")


def parse_size(text: str) -> int:
    """A number of octets."""
    match = _SIZE.match(text)
    if not match or match[2].upper() not in _POWERS:
        raise BadValue(f"Invalid size: {text}")
    octets = int(match[1]) * _POWERS[match[2].upper()]
    if octets > SIZE_MAX:
        raise BadValue(f"Invalid size: {text}")
    return octets


def parse_number(text: str) -> int:
    """A number >= 0 below 2**32."""
    if re.fullmatch(r"-[0-9]+", text):
        raise BadValue(f"Invalid number {text}: Number too small")
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise BadValue(f"Invalid number {text}: Not a valid number")
    if int(text) > UNSIGNED:
        raise BadValue(f"Invalid number {text}: Number too large")
    return int(text)


def parse_octal(text: str) -> int:
    """A file mode: octal with a leading 0, else decimal."""
    if text.startswith("0"):
        if not re.fullmatch(r"[0-7]{1,11}", text):
            raise BadValue(f"Invalid number: {text}")
        return int(text, 8)
    return parse_number(text)


def parse_port(text: str) -> int:
    """A port number; 0 switches a listener off."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise BadValue(f"Invalid port number {text}")
    return int(text)


def check(parameter: Parameter, text: str) -> None:
    """Raise BadValue when ``text`` cannot be the value of ``parameter``."""
    if parameter.kind == "enum":
        if text not in parameter.choices:
            raise BadValue(f"Invalid value: {text}")
    elif parameter.kind != "string":
        PARSERS[parameter.kind](text)


PARSERS = {
    "boolean": parse_boolean,
    "seconds": parse_seconds,
    "size": parse_size,
    "number": parse_number,
    "octal": parse_octal,
    "port": parse_port,
}


def show(parameter: Parameter, text: str) -> str:
    """``text`` in the form doveconf prints it: whole units, a leading 0 on modes, quotes where needed."""
    if parameter.kind == "boolean":
        return "yes" if parse_boolean(text) else "no"
    if parameter.kind == "seconds":
        return show_seconds(parse_seconds(text))
    if parameter.kind == "size":
        return show_size(parse_size(text))
    if parameter.kind == "octal":
        return f"0{parse_octal(text):o}"
    if parameter.kind in ("number", "port"):
        return str(int(text))
    return quoted(text)


def show_seconds(value: int) -> str:
    """A time in its largest whole unit (``7200`` is ``2 hours``)."""
    if value in (0, UNSIGNED):
        return "0" if value == 0 else f"{value} secs"
    for factor, names in reversed(_UNITS):
        if value % factor == 0:
            return f"{value // factor} {names[0]}"
    raise AssertionError("every time is a whole number of seconds")


def show_size(value: int) -> str:
    """A size in its largest whole unit (``65536`` is ``64 k``)."""
    if value == 0:
        return "0"
    for letter in "TGMk":
        if value % _POWERS[letter.upper()] == 0:
            return f"{value // _POWERS[letter.upper()]} {letter}"
    return f"{value} B"


def quoted(text: str) -> str:
    """The text, in double quotes when it would not survive being read again without them."""
    if text and (text[0] in " \t" or text[-1] in " \t" or "#" in text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def unlimited(value: int) -> float:
    """A time in seconds as float, infinite where Dovecot writes the largest number."""
    return math.inf if value >= UNSIGNED else float(value)
