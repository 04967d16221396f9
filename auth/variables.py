"""``%`` variables of Dovecot's settings (doc/wiki Variables): short and long names, modifiers, offset and width,
conditions and hashes."""

from __future__ import annotations

import binascii
import hashlib
import re
import string
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import lru_cache

from passlib.crypto.digest import lookup_hash

VARIABLE = re.compile(
    r"%(?:(?P<percent>%)|(?P<offset>-?[0-9]*)(?:\.(?P<width>0?-?[0-9]*))?(?P<modifiers>[LUEXRHNMDT]{0,10})"
    r"(?:\{(?P<long>(?:[^{}]|\{[^{}]*\}|%\{[^{}]*\})*)\}|(?P<short>.)|\Z))",
    re.DOTALL,
)
HASHES = frozenset({"md4", "md5", "sha1", "sha256", "sha384", "sha512", "sha3-256", "sha3-512", "pkcs5"})
ROUNDS_MAX = 1_000_000
"""Rounds of a ``%{sha256;rounds=...}``: more would be a way to stop the server."""

PADDING_MAX = 1000
"""Zeros that a width may put before a value."""

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_MD4 = lookup_hash("md4").const  # loaded now: later the service may not read the library any more


class VariableError(ValueError):
    """A variable that does not exist, or a condition or hash that is written wrongly."""


Lookup = Callable[[str], "str | None"]
"""Value of a variable by its long name or its single letter; None when there is no such variable."""


def expand(text: str, lookup: Lookup, escape: Callable[[str], str] | None = None) -> str:
    """Replace the variables of ``text``; each value passes through ``escape``, so that it cannot break the result.

    Raises VariableError for a condition or hash that cannot be; an unknown variable is told in its place.
    """
    if "%" not in text:
        return text
    pieces: list[str] = []
    for piece in _pieces(text):
        if isinstance(piece, str):
            pieces.append(piece)
            continue
        name, long, modifiers, offset, width = piece
        value = _long(name, lookup) if long else lookup(name)
        value = f"UNSUPPORTED_VARIABLE_{name}" if value is None else _formed(value, modifiers, offset, width)
        pieces.append(escape(value) if escape is not None else value)
    return "".join(pieces)


_Piece = tuple[str, bool, str, str, "str | None"]


@lru_cache(256)
def _pieces(text: str) -> tuple[str | _Piece, ...]:
    """The plain text and the variables (name, whether long, modifiers, offset, width) of a text, in order."""
    pieces: list[str | _Piece] = []
    at = 0
    for match in VARIABLE.finditer(text):
        pieces.append(text[at : match.start()])
        at = match.end()
        long, short = match["long"], match["short"]
        if match["percent"]:
            pieces.append("%")
        elif long is not None or short is not None:  # else modifiers and nothing to modify
            name = long if long is not None else short
            pieces.append((name, long is not None, match["modifiers"], match["offset"], match["width"]))
    return tuple(filter(None, (*pieces, text[at:])))


def names(text: str) -> Iterator[str]:
    """The names of the variables in a text, short or long."""
    for match in VARIABLE.finditer(text):
        name = match["long"] if match["long"] is not None else match["short"]
        if name is not None:
            yield name


# -- values ----------------------------------------------------------------------------------------------------------


def _long(name: str, lookup: Lookup) -> str | None:
    """``%{name}``, ``%{if;...}``, ``%{sha256;...:name}``. A single letter is no long name."""
    if name.startswith("if;"):
        return _condition(_parameters(name[3:]), lookup)
    function, colon, rest = name.partition(":")
    if colon and function.partition(";")[0] in HASHES:
        value = _long(rest, lookup)
        return None if value is None else _hashed(function, rest, value, lookup)
    return lookup(name if len(name) > 1 else f"{{{name}}}")


def _parameters(text: str) -> list[str]:
    """The parameters of a condition: separated by semicolons that are in no inner variable and not escaped."""
    found, depth, escaped = [""], 0, False
    for n, char in enumerate(text):
        if char == "\\" and not escaped:
            escaped = True
            continue
        if escaped:
            escaped = False
        elif char == "{" and text[n - 1 : n] == "%":
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif char == ";" and not depth:
            found.append("")
            continue
        elif char == ":" and not depth:
            break
        found[-1] += char
    return found if found[-1] else found[:-1]


def _condition(parameters: list[str], lookup: Lookup) -> str:
    """``%{if;left;operator;right;then;else}``. Raises VariableError."""
    if len(parameters) not in (4, 5):
        raise VariableError(f"if: requires four or five parameters, got {len(parameters)}")
    left, operator, right, then, otherwise = [*(expand(one, lookup) for one in parameters), ""][:5]
    compare = _COMPARISONS.get(operator)
    if compare is None:
        raise VariableError(f"if: Unsupported comparator '{operator}'")
    return then if compare(left, right) else otherwise


def _number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise VariableError("if: not a number")
    return int(text)


def _like(value: str, pattern: str) -> bool:
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def _regexp(value: str, pattern: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error as error:
        raise VariableError(f"if: regex failed: {error}") from None


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "*": _like,
    "!*": lambda a, b: not _like(a, b),
    "~": _regexp,
    "!~": lambda a, b: not _regexp(a, b),
    "==": lambda a, b: _number(a) == _number(b),
    "!=": lambda a, b: _number(a) != _number(b),
    "<": lambda a, b: _number(a) < _number(b),
    "<=": lambda a, b: _number(a) <= _number(b),
    ">": lambda a, b: _number(a) > _number(b),
    ">=": lambda a, b: _number(a) >= _number(b),
}


def _hashed(function: str, field: str, value: str, lookup: Lookup) -> str:
    """``%{algorithm;rounds=,truncate=,salt=,format=:field}``. Raises VariableError."""
    algorithm, _, arguments = function.partition(";")
    pkcs5 = algorithm == "pkcs5"
    rounds, bits, salt, base64 = 2048 if pkcs5 else 1, 0, field if pkcs5 else "", False
    for word in arguments.split(","):
        key, equals, text = word.partition("=")
        if key in ("rounds", "truncate") and equals:
            if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > ROUNDS_MAX:
                raise VariableError(f"Cannot parse hash arguments: '{text}' is not number for {key}")
            rounds, bits = (int(text), bits) if key == "rounds" else (rounds, int(text))
        elif key == "salt" and equals:
            salt = expand(text, lookup)
            break
        elif key == "format" and equals:
            if text not in ("hex", "hexuc", "base64"):
                raise VariableError(f"Cannot parse hash arguments: '{text}' is not supported format")
            base64 = text == "base64"
    if rounds < 1:
        raise VariableError("Cannot parse hash arguments: rounds must be at least 1")
    digest, salted = _octets(value), _octets(salt)
    if pkcs5:
        digest = hashlib.pbkdf2_hmac("sha256", digest, salted, rounds)
    else:
        for _ in range(rounds):
            digest = _digest(algorithm, salted + digest)
    if 0 < bits < 8 * len(digest):
        digest = (int.from_bytes(digest, "big") >> (8 * len(digest) - bits)).to_bytes((bits + 7) // 8, "big")
    return binascii.b2a_base64(digest, newline=False).decode() if base64 else digest.hex()


def _digest(algorithm: str, data: bytes) -> bytes:
    if algorithm == "md4":
        return bytes(_MD4(data).digest())
    return hashlib.new(algorithm.replace("sha3-", "sha3_"), data, usedforsecurity=False).digest()


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# -- form ------------------------------------------------------------------------------------------------------------


def _formed(value: str, modifiers: str, first: str, second: str | None) -> str:
    """Modifiers in order, then the cut: ``%5u`` keeps 5 characters, ``%2.5u`` skips 2, a negative offset counts from
    the end, a negative width leaves so many away, ``%05u`` pads with zeros."""
    offset, width = (_digits(first), _digits(second)) if second is not None else (0, abs(_digits(first)))
    padded = (first.lstrip("-") if second is None else second).startswith("0")
    for letter in modifiers:
        if letter in _HASH_TABLES:  # width is the size of a hash table, offset the digits to pad to
            number = _HASH_TABLES[letter](value)
            value = f"{(number % width if width else number) & 0xFFFFFFFF:x}".rjust(min(offset, PADDING_MAX), "0")
            offset = width = 0
        else:
            value = _MODIFIERS[letter](value)
    value = value[max(len(value) + offset, 0) :] if offset < 0 else value[offset:]
    if width == 0:
        return value
    if padded:
        return value.rjust(min(width, PADDING_MAX), "0")
    if width < 0:
        width = len(value) + width
    return value[:width] if width >= 0 else value


def _digits(text: str) -> int:
    match = re.fullmatch(r"(0?)(-?)([0-9]{0,9})", text if not text.startswith("-0") else "-" + text[2:])
    return int(f"{match[2]}{match[3]}") if match and match[3] else 0


def _escape(value: str) -> str:
    return re.sub(r"([\"'\\])", r"\\\1", value)


def _old_hash(value: str) -> int:
    """Dovecot's ``%H``: the hash of its old tables (PJW)."""
    number = 0
    for octet in _octets(value):
        number = ((number << 4) + octet) & 0xFFFFFFFF
        if high := number & 0xF0000000:
            number ^= (high >> 24) ^ high
    return number


def _new_hash(value: str) -> int:
    """Dovecot's ``%N``: the first 64 bits of the text's MD5."""
    return int.from_bytes(hashlib.md5(_octets(value), usedforsecurity=False).digest()[:8], "big")


_HASH_TABLES: dict[str, Callable[[str], int]] = {"H": _old_hash, "N": _new_hash}

_MODIFIERS: dict[str, Callable[[str], str]] = {
    "L": lambda value: value.translate(_LOWER),
    "U": lambda value: value.translate(_UPPER),
    "E": _escape,
    "X": lambda value: f"{int(value) if re.fullmatch('[0-9]{1,20}', value) else 0:x}",
    "R": lambda value: value[::-1],
    "M": lambda value: hashlib.md5(_octets(value), usedforsecurity=False).hexdigest(),
    "D": lambda value: value.replace(".", ",dc="),
    "T": lambda value: value.rstrip(" \t\n\r\v\f"),
}
