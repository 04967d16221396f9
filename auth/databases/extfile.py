"""The drivers' own configuration files (dovecot-sql.conf.ext and its like): ``name = value`` lines, and blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from auth.dovecotconf.lexer import Assign, BadLine, Begin, End, logical_lines, parse

from .base import BadArguments

FILE_MAX = 1 << 20
"""Octets of such a file."""

Setting = tuple[tuple[str, str], str, str, int]
"""Block (kind and name, both "" outside of one), setting, value, line."""


def settings(path: Path) -> Iterator[Setting]:
    """The settings of a file in order. Raises BadArguments with file and line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadArguments(f"Can't open configuration file {path}: {error.strerror}") from None
    if len(data) > FILE_MAX:
        raise BadArguments(f"{path}: larger than {FILE_MAX} bytes")
    block = ("", "")
    for line in logical_lines(data.decode("utf-8", "surrogateescape")):
        where = f"Error in configuration file {path} line {line.number}"
        try:
            token = parse(line.text)
        except BadLine as error:
            raise BadArguments(f"{where}: {error}") from None
        match token:
            case Assign(key, value, "file"):
                yield block, key, f"<{value}", line.number
            case Assign(key, value, _):
                yield block, key, value, line.number
            case Begin(kind, name) if block == ("", ""):
                block = (kind, name)
            case End() if block != ("", ""):
                block = ("", "")
            case Begin():
                raise BadArguments(f"{where}: Nested sections not supported")
            case _:
                raise BadArguments(f"{where}: Expecting '='")


def flat(path: Path, defaults: Mapping[str, str]) -> dict[str, str]:
    """The settings of a file without blocks, over their defaults. Raises BadArguments."""
    found = dict(defaults)
    for block, key, value, number in settings(path):
        if block != ("", "") or key not in defaults:
            raise BadArguments(f"Error in configuration file {path} line {number}: Unknown setting: {key}")
        found[key] = value
    return found


def yes(found: Mapping[str, str], name: str, path: Path) -> bool:
    """A setting that is yes or no. Raises BadArguments."""
    value = found[name].lower()
    if value not in ("yes", "no"):
        raise BadArguments(f"{path}: Invalid boolean '{value}' for {name}: use yes or no")
    return value == "yes"
