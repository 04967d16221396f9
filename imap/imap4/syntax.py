"""How IMAP writes values: atoms, quoted strings, literals, numbers and date-times (RFC 3501 section 9)."""

from __future__ import annotations

import re

# As Dovecot: a string with more quotes and backslashes than this, or with 8-bit or line ends, goes as a literal.
MAX_ESCAPES = 4
# What shows in the place of a NUL, which IMAP cannot carry.
NUL = "\ufffd".encode()

_PLAIN = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]*")
_NEEDS_LITERAL = re.compile(rb"[\r\n\x80-\xff]")
_ESCAPED = re.compile(rb"[\"\\]")
_WHITE = re.compile(rb"[ \t\r\n]+")
_TIDY = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f ]*")
_ATOM = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+")


def string(value: bytes) -> bytes:
    """``value`` as a quoted string where possible, else as a literal (RFC 3501 ``string``)."""
    if _PLAIN.fullmatch(value):
        return b'"%b"' % value
    if _NEEDS_LITERAL.search(value) or len(_ESCAPED.findall(value)) > MAX_ESCAPES:
        return literal(value)
    return b'"%b"' % _ESCAPED.sub(rb"\\\g<0>", value)


def utf8_string(value: bytes) -> bytes:
    """Valid UTF-8 as a quoted string, for a client that takes it there (RFC 6855 section 3), else as a literal."""
    if b"\r" in value or b"\n" in value or b"\0" in value:
        return literal(value)
    return b'"%b"' % _ESCAPED.sub(rb"\\\g<0>", value)


def nstring(value: bytes | None) -> bytes:
    """``string`` or NIL."""
    return b"NIL" if value is None else string(value)


def for_humans(value: bytes | None) -> bytes:
    """``nstring`` of free text: white space runs become one space, and what is not plain then goes as a literal."""
    if value is None:
        return b"NIL"
    value = value.replace(b"\0", NUL)
    text = _WHITE.sub(b" ", value).strip(b" ")
    if text == value and _TIDY.fullmatch(value):
        return b'"%b"' % value
    return literal(text) if text else b'""'


def one_line(value: bytes | None) -> bytes:
    """``nstring`` of a value whose carriage returns become spaces, so that 8-bit alone makes it a literal."""
    return b"NIL" if value is None else string(value.replace(b"\r", b" ").replace(b"\0", NUL))


def literal(value: bytes) -> bytes:
    """``{size}`` and the octets."""
    return b"{%d}\r\n%b" % (len(value), value)


def astring(value: bytes) -> bytes:
    """``value`` as an atom where it is one, else as a string (RFC 3501 ``astring``)."""
    if _ATOM.fullmatch(value) and value.upper() != b"NIL":
        return value
    return string(value)
