"""How a dovecot.conf parameter is declared: name, type, default, choices, wiki page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "boolean", "seconds", "size", "number", "octal", "port", "enum"]

WIKI = "https://doc.dovecot.org/2.3/settings/core/"
"""Where the settings of Dovecot 2.3 are described; ``Parameter.page`` names the page of its wiki."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of dovecot.conf, declared once; validation, typed access and doveconf all read this row.

    ``default`` is the text doveconf prints (``"2 secs"``, ``"64 k"``). Units: ``seconds`` hold seconds, ``size``
    octets, ``octal`` a file mode. ``secret`` values are hidden by doveconf unless ``-P`` is given.
    """

    name: str
    kind: Kind
    default: str
    page: str
    choices: tuple[str, ...] = ()
    secret: bool = False
    hidden: bool = False


def string(name: str, default: str, page: str, *, secret: bool = False, hidden: bool = False) -> Parameter:
    """A free text."""
    return Parameter(name, "string", default, page, secret=secret, hidden=hidden)


def boolean(name: str, default: str, page: str) -> Parameter:
    """``yes`` or ``no``."""
    return Parameter(name, "boolean", default, page)


def seconds(name: str, default: str, page: str) -> Parameter:
    """A time with its unit; plain numbers other than 0 are refused, as Dovecot does."""
    return Parameter(name, "seconds", default, page)


def size(name: str, default: str, page: str, *, hidden: bool = False) -> Parameter:
    """A number of octets with an optional k, M, G, T."""
    return Parameter(name, "size", default, page, hidden=hidden)


def number(name: str, default: str, page: str, *, hidden: bool = False) -> Parameter:
    """A number >= 0 that fits 32 bits."""
    return Parameter(name, "number", default, page, hidden=hidden)


def octal(name: str, default: str, page: str) -> Parameter:
    """A file mode; octal when written with a leading 0."""
    return Parameter(name, "octal", default, page)


def port(name: str, default: str, page: str) -> Parameter:
    """A port number, 0 to 65535."""
    return Parameter(name, "port", default, page)


def enum(name: str, default: str, choices: str, page: str) -> Parameter:
    """One of the space separated ``choices``."""
    return Parameter(name, "enum", default, page, choices=tuple(choices.split()))
