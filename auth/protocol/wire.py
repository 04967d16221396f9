"""Lines of the Dovecot auth protocols (doc/wiki Design/AuthProtocol): words, escaping, length limits, numbers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence

CLIENT_LINE_MAX = 16384
"""Octets of one line, LF included, on client sockets: what Dovecot 2.3 takes, as measured."""

MASTER_LINE_MAX = 1024
"""Octets of one line a server takes on master and userdb sockets; Dovecot's MAX_INBUF_SIZE."""

REPLY_LINE_MAX = 65536
"""Octets of one line a client takes from a server: user records carry many fields, yet memory is bounded."""

_ESCAPES = {"\x01": "1", "\t": "t", "\n": "n", "\r": "r", "\0": "0"}
_ESCAPE = re.compile("[\x00\x01\t\n\r]")
_UNESCAPES = {code: char for char, code in _ESCAPES.items()}
_UNESCAPE = re.compile("\x01(.?)", re.DOTALL)
_NO_SPACE = {ord(char): None for char in " \t\r\n"}
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
UINT_MAX = 2**32 - 1


class ProtocolError(Exception):
    """The peer broke the protocol: the connection has to be closed. The text goes to the log only."""


def escape(text: str) -> str:
    """Escape TAB, LF, CR, NUL and 0x01 so that the text is one word of a line."""
    return _ESCAPE.sub(lambda match: "\x01" + _ESCAPES[match[0]], text)


def unescape(text: str) -> str:
    """Undo ``escape``; an unknown escape stands for its own character, a lone 0x01 at the end for nothing."""
    if "\x01" not in text:
        return text
    return _UNESCAPE.sub(lambda match: _UNESCAPES.get(match[1], match[1]), text)


def line(*words: str) -> bytes:
    """One line from words that may contain anything."""
    return ("\t".join(escape(word) for word in words) + "\n").encode("utf-8", "surrogateescape")


def number(word: str) -> int | None:
    """An unsigned 32-bit number written in digits only, else None."""
    if not _NUMBER.match(word) or int(word) > UINT_MAX:
        return None
    return int(word)


def encode_base64(data: bytes) -> str:
    """Base64 with padding, RFC 4648 section 4."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(word: str) -> bytes | None:
    """Base64 data, None when it is none. White space is skipped; ``=`` is the empty response (RFC 4422 section 4)."""
    word = word.translate(_NO_SPACE)
    if word == "=":
        return b""
    try:
        return base64.b64decode(word.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None


def field(name: str, value: str | None = None) -> str:
    """The word ``name=value``, or ``name`` alone for a field without a value."""
    return name if value is None else f"{name}={value}"


def fields_of(words: Sequence[str]) -> dict[str, str]:
    """Fields of a reply: ``name=value`` words, "" for a bare name; a repeated name keeps its last value."""
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        if name:
            found[name] = value
    return found


class LineBuffer:
    """Cuts a byte stream into lines; memory stays below the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the complete lines, without LF. Raises ProtocolError once a line is longer than the limit."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = b""
        for found in lines:
            if len(found) >= self._limit:
                break
            # As Dovecot reads lines: a CR before the LF is dropped, and a NUL ends the text.
            yield found.removesuffix(b"\r").partition(b"\0")[0]
        else:
            if len(rest) < self._limit:
                self._rest = rest
                return
        raise ProtocolError(f"sent more than {self._limit} bytes without a newline")


def text_of(data: bytes) -> str:
    """A line as text; what is not UTF-8 survives unchanged."""
    return data.decode("utf-8", "surrogateescape")


def octets_of(text: str) -> bytes:
    """The line again that ``text_of`` has made the text from."""
    return text.encode("utf-8", "surrogateescape")


def words_of(text: str) -> list[str]:
    """The unescaped words of a line."""
    return [unescape(word) for word in text.split("\t")]
