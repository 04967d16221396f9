"""The options of hosts_options(5): what a rule says beside whom it matches."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_NAME: Final = re.compile(r"[^= \t\r\n]*")

# An option takes a value (True), takes none (False), or may have one (None). `last`: nothing may follow it.
_VALUE: Final[dict[str, bool | None]] = {
    "user": True,
    "group": True,
    "umask": True,
    "linger": True,
    "keepalive": False,
    "spawn": True,
    "twist": True,
    "aclexec": True,
    "rfc931": None,
    "setenv": True,
    "nice": None,
    "severity": True,
    "allow": False,
    "deny": False,
    "banners": True,
}
_NUMBERS: Final = {
    "umask": re.compile(r"[0-7]{1,4}"),
    "linger": re.compile(r"[0-9]{1,9}"),
    "nice": re.compile(r"[0-9]{1,3}"),
    "rfc931": re.compile(r"[0-9]{1,9}"),
}
_LAST: Final = frozenset({"allow", "deny", "twist"})

LEVELS: Final = {
    "emerg": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "crit": logging.CRITICAL,
    "err": logging.ERROR,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "notice": logging.INFO,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
"""Severities of syslog(3) as levels of our log."""
_LOCAL: Final = tuple(f"local{number}" for number in range(8))
_FACILITIES: Final = frozenset(
    (*("kern", "user", "mail", "daemon", "auth", "authpriv", "lpr", "news", "uucp", "cron", "ftp"), *_LOCAL)
)

_WITHOUT_EFFECT: Final = {
    "spawn": "spawn: hardmail never runs the command",
    "twist": "twist: hardmail never runs the command and refuses the client instead",
    "aclexec": "aclexec: hardmail never runs the command and refuses the client instead",
    "user": "user: the services of hardmail give up root by themselves; the option has no effect",
    "group": "group: the services of hardmail give up root by themselves; the option has no effect",
    "umask": "umask: the option has no effect",
    "linger": "linger: the option has no effect",
    "keepalive": "keepalive: the option has no effect",
    "rfc931": "rfc931: hardmail does not ask clients for user names; the option has no effect",
    "setenv": "setenv: no program is run that could read it; the option has no effect",
    "nice": "nice: the option has no effect",
}


class OptionError(Exception):
    """An option that libwrap does not take."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option; its value has its %-expansions still in it."""

    name: str
    value: str = ""

    @property
    def warning(self) -> str:
        """What is to be said of an option that hardmail reads and does not obey."""
        return _WITHOUT_EFFECT.get(self.name, "")


def split_fields(text: str) -> list[str]:
    r"""Fields between colons; `\:` is a colon within one."""
    fields = [""]
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\" and text[position + 1 : position + 2] == ":":
            fields[-1] += ":"
            position += 1
        elif character == ":":
            fields.append("")
        else:
            fields[-1] += character
        position += 1
    return fields


def parse_options(fields: Iterable[str]) -> tuple[Option, ...]:
    """Options in order. Raises OptionError."""
    rest = [field.strip(" \t\r\n") for field in fields]
    return tuple(_option(field, is_last=position == len(rest)) for position, field in enumerate(rest, 1))


def _option(field: str, *, is_last: bool) -> Option:
    match = _NAME.match(field)
    name = match.group() if match else ""
    value = field[len(name) :].strip(" \t\r\n").removeprefix("=").strip(" \t\r\n")
    if not name:
        raise OptionError("missing option name")
    key = name.lower()
    if key not in _VALUE:
        raise OptionError(f'bad option name: "{name}"')
    wants = _VALUE[key]
    if wants and not value:
        raise OptionError(f'option "{name}" requires value')
    if wants is False and value:
        raise OptionError(f'option "{name}" requires no value')
    if key in _LAST and not is_last:
        raise OptionError(f'option "{name}" must be at end')
    if key == "severity":
        severity(value)
    elif value and (pattern := _NUMBERS.get(key)) and not pattern.fullmatch(value):
        raise OptionError(f'bad {name} value: "{value}"')
    return Option(key, value)


def severity(value: str) -> int:
    """The level of `severity mail.info` or `severity notice`. Raises OptionError."""
    facility, dot, level = value.partition(".")
    if not dot:
        facility, level = "mail", value
    if facility.lower() not in _FACILITIES:
        raise OptionError(f'bad syslog facility: "{facility}"')
    if level.lower() not in LEVELS:
        raise OptionError(f'bad syslog severity: "{level}"')
    return LEVELS[level.lower()]
