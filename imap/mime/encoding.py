"""Content-Transfer-Encoding (RFC 2045 section 6): base64 and quoted-printable, read as far as they can be."""

from __future__ import annotations

import base64
import quopri
import re
from typing import NamedTuple

from imap.mime.header import named, unfold
from imap.mime.rfc822 import Cursor
from imap.mime.structure import Part

FIELD = b"content-transfer-encoding"
KNOWN = frozenset((b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"))

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
# An equals sign that is neither two hexadecimal digits nor the soft end of a line; one that the end cuts off.
_BAD_QUOTE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n)")
_CUT_QUOTE = re.compile(rb"=[0-9A-Fa-f]?\Z")


class Decoded(NamedTuple):
    """What could be decoded, and whether that is all there was."""

    octets: bytes
    whole: bool


def declared(part: Part, message: bytes) -> bytes:
    """What the last Content-Transfer-Encoding says, in lower case: ``7bit`` without one, empty where it is unreadable.

    As Dovecot does where it decodes, this asks for no MIME-Version.
    """
    encoding = b"7bit"
    for found in named(message, (FIELD,), part.start, part.body):
        encoding = word(unfold(message, found))
    return encoding


def word(value: bytes) -> bytes:
    """The encoding that a value names, in lower case; empty where it is not one token."""
    cursor = Cursor(value)
    cursor.skip_white()
    token = cursor.token()
    return token.lower() if not cursor.skip_white() and not cursor.broken else b""


def decode(octets: bytes, encoding: bytes) -> Decoded:
    """Undo an encoding (lower case); one that is not known, or none, leaves the octets as they are."""
    if encoding == b"base64":
        return _base64(octets)
    if encoding == b"quoted-printable":
        return _quoted_printable(octets)
    return Decoded(octets, whole=True)


def _base64(octets: bytes) -> Decoded:
    """Up to the padding or the first octet that cannot stand in base64."""
    text = octets.translate(None, b" \t\r\n")
    found = _BASE64.match(text)
    assert found
    digits = found.group()
    padding = b"=" * (-len(digits) % 4)
    whole = len(padding) < 3 and text[found.end() :] == padding
    if len(padding) == 3:  # a single digit is not an octet yet
        digits, padding = digits[:-1], b""
    return Decoded(base64.b64decode(digits + padding), whole)


def _quoted_printable(octets: bytes) -> Decoded:
    """Broken quotes stay as they are; white space at the end of a line is no part of it (section 6.7 rule 3)."""
    whole = _BAD_QUOTE.search(octets) is None
    lines = (line.removesuffix(b"\r").rstrip(b" \t") for line in _CUT_QUOTE.sub(b"", octets).split(b"\n"))
    end = b"\r\n" if b"\r\n" in octets else b"\n"
    return Decoded(quopri.decodestring(end.join(lines)), whole)
