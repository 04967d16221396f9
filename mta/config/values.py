"""Typed values: how a parameter's expanded text becomes a boolean, a number or a number of seconds."""

import re

_TIME = re.compile(r"\s*(\+?[0-9]{1,10})([A-Za-z]?).*", re.DOTALL | re.ASCII)
_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,19})", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1


def boolean(text: str) -> bool:
    """`yes` or `no` in any case; ValueError otherwise."""
    lowered = text.lower()
    if lowered not in ("yes", "no"):
        raise ValueError(f"bad boolean configuration: {text}")
    return lowered == "yes"


def integer(text: str) -> int:
    """A decimal number that fits a C long; ValueError otherwise."""
    match = _NUMBER.fullmatch(text)
    if not match or abs(int(match[1])) > _LONG_MAX:
        raise ValueError(f"bad numerical configuration: {text}")
    return int(match[1])


def seconds(text: str, unit: str = "s") -> int:
    """A time such as `30`, `5m`, `1h`, `2d`, `1w`, in seconds; a bare number is in `unit`. ValueError otherwise.

    As conv_time(3): only the first character of the unit counts, fractions do not exist.
    """
    match = _TIME.fullmatch(text)
    factor = _UNITS.get((match[2] or unit) if match else "")
    if not match or factor is None or not _unit_follows(text, match):
        raise ValueError(f"bad time value or unit: {text}")
    value = int(match[1]) * factor
    if value > _INT_MAX:
        raise ValueError(f"bad time value or unit: {text}")
    return value


def _unit_follows(text: str, match: re.Match[str]) -> bool:
    """Whether the character after the digits is a unit or nothing: `5.5s` has none."""
    end = match.end(1)
    return bool(match[2]) or end == len(text)
