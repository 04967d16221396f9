"""Macros of SPF records (RFC 7208 section 7). Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

NAME_LIMIT: Final = 253
"""Characters of a domain name; what macros make longer loses labels on its left side (section 7.3)."""

_LITERAL: Final = r"[!-$&-~]"
_EXPAND: Final = r"%(?:%|_|-|\{[slodipvhcrtSLODIPVHCRT](?:[1-9]\d{0,2})?[rR]?[.\-+,/_=]*\})"
_STRING: Final = re.compile(rf"(?:{_EXPAND}|{_LITERAL})*")
_TEXT: Final = re.compile(rf"(?:{_EXPAND}|{_LITERAL}| )*")
_MACRO: Final = re.compile(r"%(?:([%_-])|\{([A-Za-z])(\d*)([rR]?)([.\-+,/_=]*)\})")
_PLAIN: Final = {"%": "%", "_": " ", "-": "%20"}
_ONLY_IN_EXPLANATIONS: Final = frozenset("crt")


class MacroError(ValueError):
    """A macro that may not stand where it does."""


@dataclass(frozen=True, slots=True)
class Context:
    """What macros stand for."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    sender: str
    domain: str
    helo: str
    receiver: str = "unknown"
    now: int = 0
    """Seconds since 1970, for %{t}."""
    validated: str = "unknown"
    """The client's name, for %{p}."""


def is_macro_string(text: str) -> bool:
    """Whether every percent sign begins a macro and nothing but visible ASCII stands between them."""
    return _STRING.fullmatch(text) is not None


def uses_validated_name(text: str) -> bool:
    """Whether %{p} occurs, for which the DNS has to be asked."""
    return any((match[2] or "").lower() == "p" for match in _MACRO.finditer(text))


def expand(text: str, context: Context, *, explanation: bool = False) -> str:
    """The text with its macros expanded. Raises MacroError for bad ones."""
    if not (_TEXT if explanation else _STRING).fullmatch(text):
        raise MacroError("bad macro")

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return _PLAIN[match[1]]
        letter = match[2].lower()
        if letter in _ONLY_IN_EXPLANATIONS and not explanation:
            raise MacroError(f"%{{{letter}}} outside an explanation")
        made = _transform(_letter(letter, context), match[3], bool(match[4]), match[5])
        return quote(made, safe="") if match[2].isupper() else made

    return _MACRO.sub(value, text)


def domain(text: str, context: Context) -> str:
    """A domain-spec as a name to look up, cut to its length limit label by label. Raises MacroError."""
    name = expand(text, context).rstrip(".")
    while len(name) > NAME_LIMIT and "." in name:
        name = name.partition(".")[2]
    return name


def _letter(letter: str, context: Context) -> str:
    local, _, domain_of_sender = context.sender.rpartition("@")
    match letter:
        case "s":
            return context.sender
        case "l":
            return local
        case "o":
            return domain_of_sender
        case "d":
            return context.domain
        case "i":
            return _dotted(context.address)
        case "p":
            return context.validated
        case "v":
            return "in-addr" if context.address.version == 4 else "ip6"
        case "h":
            return context.helo
        case "c":
            return str(context.address)
        case "r":
            return context.receiver
        case _:
            return str(context.now)


def _dotted(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """IPv6 as nibbles between dots."""
    return str(address) if address.version == 4 else ".".join(address.exploded.replace(":", ""))


def _transform(value: str, digits: str, reverse: bool, delimiters: str) -> str:
    """Split, reverse, keep the last parts, and join with dots."""
    if not (digits or reverse or delimiters):
        return value
    parts = re.split(f"[{re.escape(delimiters or '.')}]", value)
    if reverse:
        parts.reverse()
    if digits:
        count = int(digits)
        if count == 0:
            raise MacroError("zero parts")
        parts = parts[-count:]
    return ".".join(parts)
