"""BINARY[section] of FETCH (RFC 3516): parts without their Content-Transfer-Encoding."""

from __future__ import annotations

import re
from collections.abc import Callable

from imap.imap4.content import Content
from imap.imap4.errors import No
from imap.imap4.search.text import transfer_decoded, transfer_encoding
from imap.imap4.syntax import literal
from imap.mime import Part, Section

_SECTION = re.compile(rb"(?:[0-9]{1,10}(?:\.[0-9]{1,10})*)?")
_KNOWN = frozenset((b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable"))


def is_binary_section(text: bytes) -> bool:
    """Whether ``text`` is a section that BINARY takes: part numbers only."""
    return _SECTION.fullmatch(text) is not None


def decoded(content: Content, section: Section) -> bytes:
    """The octets of a part, decoded. Raises No [UNKNOWN-CTE]."""
    message, part = content.data, section.part(content.part)
    if part is None:
        return b""
    if not section.path:
        return message
    if part.is_multipart or part.is_message:
        _require_known(message, part)
        return message[part.body : part.end]
    _require_known(message, part)
    return transfer_decoded(message, part)


def _require_known(message: bytes, part: Part) -> None:
    if transfer_encoding(message, part) not in _KNOWN:
        raise No("Unknown Content-Transfer-Encoding", "UNKNOWN-CTE")


def body_writer(label: bytes, section: Section, partial: tuple[int, int | None] | None) -> Callable[[Content], bytes]:
    """Writes ``BINARY[n] literal``, a literal8 where the octets hold NUL."""

    def write(content: Content) -> bytes:
        octets = decoded(content, section)
        if partial is not None:
            start, count = partial
            octets = octets[start:] if count is None else octets[start : start + count]
        return label + (b" ~" if b"\0" in octets else b" ") + literal(octets)

    return write


def size_writer(label: bytes, section: Section) -> Callable[[Content], bytes]:
    """Writes ``BINARY.SIZE[n] number``."""
    return lambda content: label + b" %d" % len(decoded(content, section))
