"""The Authentication-Results header field (RFC 8601): written, recognized, and forged ones taken out. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mta.message import headers

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+^_`{|}~.@-]+")
_PARENTHESIS: Final = re.compile(rb"\\.|[()]", re.DOTALL)
_IDENTITY: Final = re.compile(rb'[ \t\r\n]*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_SPECIAL: Final = re.compile(r"([()\\])")


@dataclass(frozen=True, slots=True)
class Finding:
    """One method's result, `dkim=pass (2048-bit key) header.d=example.com`."""

    method: str
    result: str
    comment: str = ""
    properties: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        words = [f"{self.method}={self.result}"]
        if self.comment:
            words.append("(" + _SPECIAL.sub(r"\\\1", _UNPRINTABLE.sub("?", self.comment)) + ")")
        words += [f"{name}={_value(value)}" for name, value in self.properties if value]
        return " ".join(words)


def field(authserv_id: str, findings: Sequence[Finding]) -> str:
    """The whole field, one finding a line, folded with a line feed and a tab."""
    return f"Authentication-Results: {authserv_id}; " + (";\n\t".join(map(str, findings)) if findings else "none")


def without_forged(content: bytes, authserv_id: str) -> bytes:
    """The message without fields that claim to be ours (section 5); those of others stay as they are."""
    fields, rest = headers.split(content)
    if not any(each.name == b"authentication-results" for each in fields):
        return content
    return headers.join([each for each in fields if not _is_forged(each, authserv_id)], rest)


def _is_forged(field: headers.Field, authserv_id: str) -> bool:
    """Whether a field names our authserv-id, or cannot be read."""
    if field.name != b"authentication-results":
        return False
    value = _without_comments(field.value)
    match = _IDENTITY.match(value)
    if match is None or value.lstrip().startswith(b"("):
        return True
    name = re.sub(rb"\\(.)", rb"\1", match[1]) if match[1] is not None else match[2]
    return name.decode("utf-8", "replace").lower() == authserv_id.lower()


def _without_comments(value: bytes) -> bytes:
    """A blank for each comment (RFC 5322 section 3.2.2), however deep; one that never ends stays. Looks once."""
    output = bytearray()
    depth = start = end = 0
    for match in _PARENTHESIS.finditer(value):
        token = match[0]
        if depth == 0 and token.endswith(b"("):  # quoted pairs are for within
            depth, start = 1, match.end() - 1
        elif depth and token == b"(":
            depth += 1
        elif depth and token == b")":
            depth -= 1
            if depth == 0:
                output += value[end:start] + b" "
                end = match.end()
    return bytes(output + value[end:])


def _value(value: str) -> str:
    value = _UNPRINTABLE.sub("?", value)
    return value if _TOKEN.fullmatch(value) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
