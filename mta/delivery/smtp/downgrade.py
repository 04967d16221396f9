"""8-bit content for a server that takes only 7 bits: quoted-printable, part by part (RFC 6152 section 3, RFC 2045)."""

from __future__ import annotations

import binascii
import re
from typing import Final

from mta.message.headers import Field, join, split

NESTING_LIMIT: Final = 100
"""Parts within parts; deeper is an attack, not mail (mime_nesting_limit)."""

_EIGHT_BIT: Final = frozenset({b"8bit", b"binary"})
_BOUNDARY: Final = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE | re.DOTALL)
_ENCODING: Final = b"content-transfer-encoding"


def downgraded(content: bytes) -> bytes:
    """The message with every part that says it is 8bit or binary in quoted-printable; the rest as it was."""
    if content.isascii():
        return content
    fields, rest = split(content)
    return join(*_entity(fields, rest, 0))


def _entity(fields: list[Field], rest: bytes, depth: int) -> tuple[list[Field], bytes]:
    """A message or a part: its header, and what follows it with the empty line in front."""
    encoding = _value(fields, _ENCODING)
    kind = _value(fields, b"content-type").partition(b";")[0].strip()
    boundary = _boundary(fields)
    if depth < NESTING_LIMIT and kind.startswith(b"multipart/") and boundary:
        parts = _parts(rest, boundary)
        rest = b"".join(octets if is_line else _part(octets, depth + 1) for is_line, octets in parts)
        return _encoded_as(fields, encoding, b"7bit"), rest
    if depth < NESTING_LIMIT and kind == b"message/rfc822":
        return _encoded_as(fields, encoding, b"7bit"), b"\r\n" + _part(rest.removeprefix(b"\r\n"), depth + 1)
    if encoding not in _EIGHT_BIT:
        return fields, rest
    body = rest.removeprefix(b"\r\n")
    quoted = b"\r\n" + binascii.b2a_qp(body, quotetabs=False, istext=True, header=False)
    return _encoded_as(fields, encoding, b"quoted-printable"), quoted


def _part(octets: bytes, depth: int) -> bytes:
    if octets.startswith(b"\r\n"):
        return octets  # no header of its own: plain 7-bit text, by definition
    fields, rest = split(octets)
    changed, body = _entity(fields, rest, depth)
    return octets if changed == fields and body == rest else join(changed, body)


def _parts(rest: bytes, boundary: bytes) -> list[tuple[bool, bytes]]:
    """(True, boundary line, preamble or epilogue) and (False, part), in order; together they are `rest`."""
    delimiter = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r\n|\Z)", re.MULTILINE)
    found: list[tuple[bool, bytes]] = []
    position, inside = 0, False
    for match in delimiter.finditer(rest):
        # The line end in front of a boundary belongs to the boundary (RFC 2046 section 5.1.1).
        end = match.start()
        cut = end - 2 if inside and rest[position:end].endswith(b"\r\n") else end
        found.append((not inside, rest[position:cut]))
        found.append((True, rest[cut : match.end()]))
        position, inside = match.end(), match[1] is None
    found.append((not inside, rest[position:]))
    return found


def _boundary(fields: list[Field]) -> bytes:
    for each in fields:
        if each.name == b"content-type" and (match := _BOUNDARY.search(each.value)):
            return match[2] if match[1] is None else re.sub(rb"\\(.)", rb"\1", match[1])
    return b""


def _value(fields: list[Field], name: bytes) -> bytes:
    return next((each.value.strip().lower() for each in fields if each.name == name), b"")


def _encoded_as(fields: list[Field], old: bytes, new: bytes) -> list[Field]:
    if old not in _EIGHT_BIT:
        return fields
    field = Field(_ENCODING, b"Content-Transfer-Encoding: " + new + b"\r\n")
    return [field if each.name == _ENCODING else each for each in fields]
