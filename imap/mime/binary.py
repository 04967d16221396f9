"""Takes Content-Transfer-Encoding: binary out of a message, so that it can be kept in lines (RFC 3516 section 4.4)."""

from __future__ import annotations

import binascii

from imap.mime.header import Field, unfold
from imap.mime.structure import Part, parse

_LINE = 57  # octets that become one line of 76 characters (RFC 2045 section 6.8)


def without_binary(message: bytes) -> bytes:
    """The message with its binary parts in base64; other octets are untouched."""
    pieces: list[bytes] = []
    position = 0
    for part in parse(message).walk():
        field = _binary_field(message, part)
        if field is not None:
            before, between = message[position : field.start], message[field.end : part.body]
            pieces += (
                before,
                b"Content-Transfer-Encoding: base64\r\n",
                between,
                _base64(message[part.body : part.end]),
            )
            position = part.end
    pieces.append(message[position:])
    return b"".join(pieces)


def _binary_field(message: bytes, part: Part) -> Field | None:
    if part.is_multipart or part.is_message:
        return None
    for field in part.content.get(b"content-transfer-encoding", ())[:1]:
        if unfold(message, field).strip().lower() == b"binary":
            return field
    return None


def _base64(octets: bytes) -> bytes:
    lines = (octets[start : start + _LINE] for start in range(0, len(octets), _LINE))
    return b"\r\n".join(binascii.b2a_base64(line, newline=False) for line in lines)
