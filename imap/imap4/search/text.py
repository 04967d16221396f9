"""Text as SEARCH and SORT compare it: decoded from MIME, case and accents folded (RFC 2047, RFC 5255 section 4)."""

from __future__ import annotations

import codecs
import quopri
import re
import unicodedata
from collections.abc import Iterator

from imap.mime import Part, encoding
from imap.mime.address import addresses
from imap.mime.header import fields, named, unfold
from imap.mime.parameters import content_type

_WORD = re.compile(rb"=\?([^?*\s]{1,64})(?:\*[^?\s]{0,32})?\?([bBqQ])\?([^?\s]*)\?=")
_BETWEEN = re.compile(rb"(\?=)[ \t\r\n]+(?==\?[^?\s]{1,96}\?[bBqQ]\?)")
_SPACE = re.compile(r"\s+")
# The fields that tell how a body is to be read.
_READING_FIELDS = frozenset((b"content-type", encoding.FIELD))


def known_charset(name: str) -> bool:
    """Whether text in that character set can be read."""
    try:
        return codecs.lookup(name)._is_text_encoding and name.lower() not in ("idna", "punycode", "undefined")
    except (LookupError, ValueError):
        return False


def decode(octets: bytes, charset: str) -> str:
    """Octets as text; what cannot be read becomes U+FFFD. US-ASCII and an unknown set are read as UTF-8."""
    if charset.lower() == "us-ascii" or not known_charset(charset):
        charset = "utf-8"
    return octets.decode(charset, "replace")


def fold(text: str) -> str:
    """The form in which texts are compared: i;unicode-casemap (RFC 5051), near enough."""
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKD", text.casefold())


def decode_words(value: bytes) -> str:
    """A header value with its encoded words decoded (RFC 2047), otherwise read as UTF-8."""
    if b"=?" not in value:
        return value.decode("utf-8", "replace")
    value = _BETWEEN.sub(rb"\1", value)
    pieces: list[str] = []
    position = 0
    for found in _WORD.finditer(value):
        pieces.append(value[position : found.start()].decode("utf-8", "replace"))
        base64 = found[2] in b"bB"
        octets = encoding.decode(found[3], b"base64").octets if base64 else quopri.decodestring(found[3], header=True)
        pieces.append(decode(octets, found[1].decode("latin-1")))
        position = found.end()
    pieces.append(value[position:].decode("utf-8", "replace"))
    return "".join(pieces)


def header_text(value: bytes) -> str:
    """A header value as it is searched."""
    return fold(_SPACE.sub(" ", decode_words(value)))


def header_texts_of(value: bytes) -> list[str]:
    """A header value as it is searched, in one piece."""
    return [header_text(value)]


def address_texts(value: bytes) -> list[str]:
    """The addresses of a header as they are searched, ``name <mailbox@domain>`` whatever their spelling was."""
    written: list[str] = []
    for name, route, mailbox, domain in addresses(value):
        before = route + b":" if route is not None else b""
        plain = b"".join((before, mailbox or b"", b"@", domain or b"")).decode("utf-8", "replace")
        written.append(fold(f"{decode_words(name)} <{plain}>" if name is not None else f"<{plain}>"))
    return written or [""]


def part_text(message: bytes, part: Part) -> str | None:
    """The folded text of a text part; None for a part that holds none.

    As Dovecot's search this looks at what the header says, not at the structure: no MIME-Version is asked for, the
    last Content-Type decides whether there is text, the first one with parameters tells its character set.
    """
    if part.is_multipart or part.children:
        return None
    is_text, charset, transfer_encoding = True, None, b"7bit"
    for found in named(message, _READING_FIELDS, part.start, part.body):
        value = unfold(message, found)
        if found.name.lower() == b"content-type":
            media = content_type(value)
            is_text = bool(media.subtype) and media.type.lower() in (b"text", b"message")
            if charset is None and media.parameters:
                charset = media.charset or "utf-8"
        else:
            transfer_encoding = encoding.word(value)
    if not is_text or transfer_encoding not in encoding.KNOWN:
        return None
    octets = encoding.decode(message[part.body : part.end], transfer_encoding).octets
    return fold(decode(octets, charset or "utf-8"))


def body_texts(message: bytes, root: Part) -> Iterator[str]:
    """The folded text of every text part."""
    return (text for part in root.walk() if (text := part_text(message, part)) is not None)


def all_header_texts(message: bytes, root: Part) -> Iterator[str]:
    """Every header of the message and its parts."""
    for part in root.walk():
        yield from header_texts(message, part)


def header_texts(message: bytes, part: Part) -> Iterator[str]:
    """``name: value`` of every field of one header."""
    for field in fields(message, part.start, part.body):
        yield fold(field.name.decode("utf-8", "replace")) + ": " + header_text(unfold(message, field))
