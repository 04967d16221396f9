"""A message taken apart as far as checks need it: part headers, headers of attached messages, body lines. Pure.

Nothing is decoded and nothing is changed: the octets of all pieces together are the octets that were given, as in
Postfix's mime_state. What nests deeper than mime_nesting_limit, or pretends to, is body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from mta.message.headers import Field, split

MIME_FIELDS: Final = frozenset(
    {
        b"mime-version",
        b"content-type",
        b"content-transfer-encoding",
        b"content-id",
        b"content-description",
        b"content-disposition",
    }
)
NESTING_LIMIT: Final = 100
"""mime_nesting_limit: parts within parts; deeper is an attack, not mail."""
BOUNDARY_LIMIT: Final = 2048
"""mime_boundary_length_limit: octets of a boundary that count."""

_BOUNDARY: Final = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE | re.DOTALL)
_TYPE: Final = re.compile(rb"\s*([!-.0-~]+)\s*/\s*([!-.0-:<-~]+)")


class Kind(Enum):
    """What a piece is."""

    EMPTY_LINE = "between a header and its body"
    BOUNDARY = "begin or end of a part; body_checks sees it too"
    MIME_HEADER = "field of a part's header"
    NESTED_HEADER = "field of an attached message's header"
    BODY = "body line"


class Piece(NamedTuple):
    """Consecutive octets of the message."""

    kind: Kind
    octets: bytes


def walk(fields: list[Field], rest: bytes) -> Iterator[Piece]:
    """The pieces of `rest`, the part of a message behind its primary header `fields`."""
    boundaries: list[bytes] = []
    content_type, boundary = _content_type(fields)
    if boundary:
        boundaries.append(boundary)
    lines = iter(rest.splitlines(keepends=True) if b"\n" in rest else [rest] if rest else [])
    pending = content_type == b"message/rfc822"
    first = next(lines, None)
    if first is None:
        return
    yield Piece(Kind.EMPTY_LINE, first)
    remaining = list(lines)
    position = 0
    while position < len(remaining):
        if pending:
            consumed, fields = _header(remaining, position)
            for each in fields:
                yield Piece(Kind.MIME_HEADER if each.name in MIME_FIELDS else Kind.NESTED_HEADER, each.octets)
            position += consumed
            pending, boundary = _enter(fields, boundaries)
            if position < len(remaining) and not remaining[position].strip(b"\r\n"):
                yield Piece(Kind.EMPTY_LINE, remaining[position])
                position += 1
            continue
        line = remaining[position]
        position += 1
        closing = _match_boundary(line, boundaries)
        if closing is None:
            yield Piece(Kind.BODY, line)
            continue
        yield Piece(Kind.BOUNDARY, line)
        if closing:
            continue
        consumed, fields = _header(remaining, position)
        for each in fields:
            yield Piece(Kind.MIME_HEADER, each.octets)
        position += consumed
        pending, boundary = _enter(fields, boundaries)
        if position < len(remaining) and not remaining[position].strip(b"\r\n"):
            yield Piece(Kind.EMPTY_LINE, remaining[position])
            position += 1


def _enter(fields: list[Field], boundaries: list[bytes]) -> tuple[bool, bytes]:
    """After a part's header: whether an attached message's header follows; notes a new boundary."""
    content_type, boundary = _content_type(fields)
    if boundary and len(boundaries) < NESTING_LIMIT:
        boundaries.append(boundary)
    return content_type in (b"message/rfc822", b"message/global"), boundary


def _header(lines: list[bytes], position: int) -> tuple[int, list[Field]]:
    """The header that begins at a line: how many lines it has, and its fields."""
    end = position
    while end < len(lines) and lines[end].strip(b"\r\n"):
        end += 1
    fields, _ = split(b"".join(lines[position:end]))
    return sum(each.octets.count(b"\n") for each in fields), fields


def _match_boundary(line: bytes, boundaries: list[bytes]) -> bool | None:
    """False: a part begins; True: a multipart ends; None: no boundary. Inner parts that never ended are left."""
    if not line.startswith(b"--"):
        return None
    for depth in range(len(boundaries) - 1, -1, -1):
        if line.startswith(boundaries[depth], 2):
            del boundaries[depth + 1 :]
            after = line[2 + len(boundaries[depth]) :]
            if after.startswith(b"--"):
                del boundaries[depth]
                return True
            return False
    return None


def _content_type(fields: list[Field]) -> tuple[bytes, bytes]:
    """`type/subtype` in lower case and the boundary parameter of a multipart."""
    for each in fields:
        if each.name == b"content-type":
            value = each.value
            match = _TYPE.match(value)
            kind = b"/".join(match.groups()).lower() if match else b""
            boundary = _BOUNDARY.search(value) if kind.startswith(b"multipart/") else None
            if boundary:
                return kind, (boundary[1] if boundary[1] is not None else boundary[2])[:BOUNDARY_LIMIT]
            return kind, b""
    return b"", b""
