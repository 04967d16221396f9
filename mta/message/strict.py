"""What strict_7bit_headers, strict_8bitmime, strict_8bitmime_body and strict_mime_encoding_domain refuse. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mta.message import mime
from mta.message.headers import Field, split

HEADER: Final = "improper use of 8-bit data in message header"
BODY: Final = "improper use of 8-bit data in message body"
ENCODING: Final = "invalid message/* or multipart/* encoding domain"
_DOMAINS: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
_EIGHT_BIT: Final = frozenset({b"8bit", b"binary"})


@dataclass(frozen=True, slots=True)
class Strictness:
    """Each of these is asked of the whole message, its parts and attached messages included."""

    headers: bool = False
    """No octet beyond 7 bits in a header."""
    body: bool = False
    """None in a body whose Content-Transfer-Encoding does not announce it."""
    encoding: bool = False
    """Composite types are not encoded themselves (RFC 2045 section 6.4)."""

    def complaint(self, fields: list[Field], rest: bytes) -> str | None:
        """What is wrong with a message, in cleanup(8)'s words; None if nothing is."""
        if self.headers and not all(each.octets.isascii() for each in fields):
            return HEADER
        if not (self.encoding or ((self.headers or self.body) and not rest.isascii())):
            return None
        part = _Part()
        for each in fields:
            part.note(each)
        for piece in mime.walk(fields, rest):
            match piece.kind:
                case mime.Kind.EMPTY_LINE if self.encoding and part.composite and part.encoding not in _DOMAINS:
                    return ENCODING
                case mime.Kind.BOUNDARY:
                    part = _Part()
                case mime.Kind.MIME_HEADER | mime.Kind.NESTED_HEADER:
                    if self.headers and not piece.octets.isascii():
                        return HEADER
                    if piece.kind is mime.Kind.MIME_HEADER:
                        part.note(split(piece.octets)[0][0])
                case mime.Kind.BODY if self.body and not piece.octets.isascii() and part.encoding not in _EIGHT_BIT:
                    return BODY
        return None


@dataclass(slots=True)
class _Part:
    """What the header says of the body behind it."""

    composite: bool = False
    encoding: bytes = b""

    def note(self, each: Field) -> None:
        if each.name == b"content-transfer-encoding":
            self.encoding = each.value.lower()
        elif each.name == b"content-type":
            self.composite = each.value.lower().startswith((b"message/", b"multipart/"))
