"""Text as SEARCH and SORT compare it: decoded from MIME, case and accents folded (RFC 2047, RFC 5255 section 4)."""

from __future__ import annotations

import base64
import binascii
import codecs
import quopri
import re
import unicodedata
from collections.abc import Iterator

from imap.mime import Part
from imap.mime.address import addresses
from imap.mime.describe import transfer_encoding as declared_encoding
from imap.mime.header import fields, unfold

_WORD = re.compile(rb"=\?([^?*\s]{1,64})(?:\*[^?\s]{0,32})?\?([bBqQ])\?([^?\s]*)\?=")
_BETWEEN = re.compile(rb"(\?=)[ \t\r\n]+(?==\?[^?\s]{1,96}\?[bBqQ]\?)")
_SPACE = re.compile(r"\s+")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def known_charset(name: str) -> bool:
    """Whether text in that character set can be read."""
    try:
        return codecs.lookup(name)._is_text_encoding and name.lower() not in ("idna", "punycode", "undefined")
    except (LookupError, ValueError):
        return False


def decode(octets: bytes, charset: str) -> str:
    """Octets as text; what cannot be read becomes U+FFFD. An unknown set is read as UTF-8."""
    return octets.decode(charset if known_charset(charset) else "utf-8", "replace")


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
        octets = _unbase64(found[3]) if found[2] in b"bB" else quopri.decodestring(found[3], header=True)
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


def _unbase64(text: bytes) -> bytes:
    cleaned = _NOT_BASE64.sub(b"", text)
    cleaned = cleaned[: len(cleaned) - (len(cleaned) % 4 == 1)]
    try:
        return base64.b64decode(cleaned + b"=" * (-len(cleaned) % 4))
    except binascii.Error:
        return b""


def transfer_decoded(message: bytes, part: Part) -> bytes:
    """The body of a part without its Content-Transfer-Encoding (RFC 2045 section 6)."""
    octets = message[part.body : part.end]
    encoding = transfer_encoding(message, part)
    if encoding == b"base64":
        return _unbase64(octets)
    if encoding == b"quoted-printable":
        return _unquote(octets)
    return octets


def _unquote(octets: bytes) -> bytes:
    """Quoted-printable, white space at the end of lines left out first: it is no part of them (RFC 2045 6.7 rule 3)."""
    lines = (line.removesuffix(b"\r").rstrip(b" \t") for line in octets.split(b"\n"))
    return quopri.decodestring((b"\r\n" if b"\r\n" in octets else b"\n").join(lines))


def transfer_encoding(message: bytes, part: Part) -> bytes:
    """The Content-Transfer-Encoding in lower case, ``7bit`` where there is none."""
    return (declared_encoding(part, message) or b"7bit").lower()


def part_text(message: bytes, part: Part) -> str | None:
    """The folded text of a text part; None for a part that holds no text."""
    if part.is_multipart or part.is_message:
        return None
    charset = "us-ascii"
    if part.media is not None:
        if part.media.type.lower() not in (b"text", b"message"):
            return None
        for name, value in part.media.parameters:
            if name.lower() == b"charset":
                charset = value.decode("latin-1")
    if charset.lower() in ("us-ascii", "ascii"):
        charset = "utf-8"
    return fold(decode(transfer_decoded(message, part), charset))


def body_texts(message: bytes, root: Part) -> Iterator[str]:
    """The folded text of every text part, and the headers of enclosed messages."""
    for part in root.walk():
        text = part_text(message, part)
        if text is not None:
            yield text
        if part.is_message and part.children:
            yield from header_texts(message, part.children[0])


def all_header_texts(message: bytes, root: Part) -> Iterator[str]:
    """Every header of the message and its parts."""
    for part in root.walk():
        yield from header_texts(message, part)


def header_texts(message: bytes, part: Part) -> Iterator[str]:
    """``name: value`` of every field of one header."""
    for field in fields(message, part.start, part.body):
        yield fold(field.name.decode("latin-1")) + ": " + header_text(unfold(message, field))
