"""BINARY[section] of FETCH (RFC 3516): parts without their Content-Transfer-Encoding."""

from __future__ import annotations

import re
from collections.abc import Callable

from imap.imap4.content import Content
from imap.imap4.errors import No
from imap.imap4.syntax import literal
from imap.mime import Part, Section, encoding
from imap.mime.header import named

_ENCODED = frozenset((b"base64", b"quoted-printable"))
_SECTION = re.compile(rb"(?:[0-9]{1,10}(?:\.[0-9]{1,10})*)?")


def is_binary_section(text: bytes) -> bool:
    """Whether ``text`` is a section that BINARY takes: part numbers only."""
    return _SECTION.fullmatch(text) is not None


def decoded(message: bytes, root: Part, section: Section) -> bytes:
    """The octets of a part, or of the whole message, decoded. Raises No [UNKNOWN-CTE], No [PARSE]."""
    part = section.part(root)
    if part is None:
        return b""
    return _body(message, part) if section.path else _header(message, part) + _body(message, part)


def _header(message: bytes, part: Part) -> bytes:
    """The header of a part; where the body is decoded, it says so."""
    if part.is_multipart or part.is_message or encoding.declared(part, message) not in _ENCODED:
        return message[part.start : part.body]
    pieces: list[bytes] = []
    position = part.start
    for field in named(message, (encoding.FIELD,), part.start, part.body):
        pieces.append(message[position : field.start])
        position = field.end
    rest = message[position : part.body]
    blank = b"\r\n" if rest.endswith(b"\r\n") else b""
    pieces += (rest.removesuffix(blank), b"Content-Transfer-Encoding: binary\r\n", blank)
    return b"".join(pieces)


def _body(message: bytes, part: Part) -> bytes:
    """The body of a part with everything in it decoded."""
    declared = encoding.declared(part, message)
    if declared not in encoding.KNOWN:
        raise No("Unknown Content-Transfer-Encoding", "UNKNOWN-CTE")
    if not (part.is_multipart or part.is_message):
        found = encoding.decode(message[part.body : part.end], declared)
        if not found.whole:
            raise No("Invalid data in MIME part.", "PARSE")
        return found.octets
    pieces: list[bytes] = []
    position = part.body
    for child in part.children:
        pieces += (message[position : child.start], _header(message, child), _body(message, child))
        position = child.end
    pieces.append(message[position : part.end])
    return b"".join(pieces)


def body_writer(label: bytes, section: Section, partial: tuple[int, int | None] | None) -> Callable[[Content], bytes]:
    """Writes ``BINARY[n] literal``, a literal8 where the octets hold NUL."""

    def write(content: Content) -> bytes:
        octets = decoded(content.data, content.part, section)
        if partial is not None:
            start, count = partial
            octets = octets[start:] if count is None else octets[start : start + count]
        return label + (b" ~" if b"\0" in octets else b" ") + literal(octets)

    return write


def size_writer(label: bytes, section: Section) -> Callable[[Content], bytes]:
    """Writes ``BINARY.SIZE[n] number``."""
    return lambda content: label + b" %d" % size(content.data, content.part, section)


def size(message: bytes, root: Part, section: Section) -> int:
    """The size of what :func:`decoded` gives; as Dovecot, only of a message whose parts can all be decoded."""
    if section.part(root) is not None:
        _body(message, root)
    return len(decoded(message, root, section))
