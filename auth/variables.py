"""``%`` variables of Dovecot's settings (doc/wiki Variables): short and long names, modifiers, offset and width."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

VARIABLE = re.compile(r"%(?:(%)|(?P<numbers>-?[0-9]*(?:\.-?[0-9]+)?)(?P<modifiers>[LUEXRHNMDT]*)(?:\{(?P<long>(?:[^{}]|\{[^{}]*\}|%\{[^{}]*\})*)\}|(?P<short>.)))", re.DOTALL)  # fmt: skip  # noqa: E501 - one grammar, one line
_HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "==": lambda a, b: _integer(a) == _integer(b),
    "!=": lambda a, b: _integer(a) != _integer(b),
    "<": lambda a, b: _integer(a) < _integer(b),
    "<=": lambda a, b: _integer(a) <= _integer(b),
    ">": lambda a, b: _integer(a) > _integer(b),
    ">=": lambda a, b: _integer(a) >= _integer(b),
}

Lookup = Callable[[str], "str | None"]
"""Value of a variable by its long name or its single letter; None when there is no such variable."""


def expand(text: str, lookup: Lookup, escape: Callable[[str], str] | None = None) -> str:
    """Replace the variables of ``text``; each value passes through ``escape``, so that it cannot break the result."""
    if "%" not in text:
        return text
    pieces: list[str] = []
    for piece in _pieces(text):
        if isinstance(piece, str):
            pieces.append(piece)
            continue
        name, modifiers, numbers = piece
        value = _cut(_modify(_value(name, lookup), modifiers), numbers)
        pieces.append(escape(value) if escape is not None else value)
    return "".join(pieces)


@lru_cache(256)
def _pieces(text: str) -> tuple[str | tuple[str, str, str], ...]:
    """The plain text and the variables (name, modifiers, numbers) of a text, in order."""
    pieces: list[str | tuple[str, str, str]] = []
    at = 0
    for match in VARIABLE.finditer(text):
        pieces.append(text[at : match.start()])
        at = match.end()
        name = match["long"] if match["long"] is not None else match["short"]
        if match[1]:
            pieces.append("%")
        elif at < len(text) or name not in _MODIFIERS:  # else a modifier and nothing to modify
            pieces.append((name, match["modifiers"], match["numbers"]))
    return tuple(filter(None, (*pieces, text[at:])))


def names(text: str) -> Iterator[str]:
    """The names of the variables in a text, short or long."""
    for match in VARIABLE.finditer(text):
        name = match["long"] if match["long"] is not None else match["short"]
        if name is not None:
            yield name


def _value(name: str, lookup: Lookup) -> str:
    if name.startswith("if;"):
        return _condition(name.split(";")[1:], lookup)
    function, colon, rest = name.partition(":")
    algorithm = function.partition(";")[0]
    if colon and algorithm in _HASHES:
        plain = lookup(rest) or ""
        return hashlib.new(algorithm, plain.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    value = lookup(name)
    return f"UNSUPPORTED_VARIABLE_{name}" if value is None else value


def _condition(parts: list[str], lookup: Lookup) -> str:
    """``%{if;left;operator;right;then;else}``."""
    if len(parts) < 4:
        return ""
    left, operator, right, then, *otherwise = parts
    compare = _COMPARISONS.get(operator)
    if compare is None:
        return ""
    chosen = then if compare(expand(left, lookup), expand(right, lookup)) else (otherwise or [""])[0]
    return expand(chosen, lookup)


def _modify(value: str, modifiers: str) -> str:
    for letter in modifiers:
        value = _MODIFIERS[letter](value)
    return value


def _cut(value: str, numbers: str) -> str:
    """``%5u`` keeps 5 characters, ``%2.5u`` skips 2, a negative offset counts from the end, ``%05u`` pads with 0."""
    if not numbers:
        return value
    first, dot, second = numbers.partition(".")
    offset, width = (_integer(first), _integer(second)) if dot else (0, _integer(first))
    if dot and offset < 0:
        offset = max(len(value) + offset, 0)
    width = abs(width) if not dot else width
    kept = value[offset : offset + width] if width >= 0 else value[offset:width]
    return kept.rjust(width, "0") if first.lstrip("-").startswith("0") and width > 0 else kept


def _integer(text: str) -> int:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else 0


def _escape(value: str) -> str:
    return re.sub(r"([\"'\\])", r"\\\1", value)


def _old_hash(value: str) -> str:
    """Dovecot's ``%H``: the hash of its old tables (PJW), in hexadecimal digits."""
    number = 0
    for octet in value.encode("utf-8", "surrogateescape"):
        number = (number << 4) + octet
        if high := number & 0xF0000000:
            number ^= (high >> 24) ^ high
    return f"{number:x}"


def _new_hash(value: str) -> str:
    """Dovecot's ``%N``: the second 32 bits of the text's MD5, in hexadecimal digits."""
    digest = hashlib.md5(value.encode("utf-8", "surrogateescape"), usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[4:8], 'big'):x}"


_MODIFIERS: dict[str, Callable[[str], str]] = {
    "L": str.lower,
    "U": str.upper,
    "E": _escape,
    "X": lambda value: f"{_integer(value):x}",
    "R": lambda value: value[::-1],
    "H": _old_hash,
    "N": _new_hash,
    "M": lambda value: hashlib.md5(value.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest(),
    "D": lambda value: value.replace(".", ",dc="),
    "T": str.strip,
}
