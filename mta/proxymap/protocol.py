"""proxymap(8) on the wire: lists of `name NUL value NUL`, each ended by an empty name, as Postfix's attr_print(3)."""

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Final

# A server's first words, and what they answer to.
GREETING: Final = {"protocol": "proxymap_protocol"}
# One message: a key and a value, each as long as the tables themselves allow, with names and flags around them.
MESSAGE_LIMIT: Final = 512 * 1024
# Requests have five attributes, replies three.
ATTRIBUTE_LIMIT: Final = 16
# Decimal digits of a flag word (32 bits) or a status.
DIGITS: Final = 10


class ProtocolError(Exception):
    """What came is no message of this protocol: the connection cannot go on."""


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    NOKEY = 1
    RETRY = 2
    BAD = 3
    DENY = 4
    CONFIG = 5


class Flags(IntFlag):
    """Properties of a table that the open request answers (Postfix's DICT_FLAG_ words)."""

    FIXED = 1 << 4  # keys are strings: parts of addresses may be asked
    PATTERN = 1 << 5  # keys are matched by patterns: only whole ones make sense
    LOCK = 1 << 6
    FOLD = 1 << 14


# What Postfix's own clients ask with.
DEFAULT_FLAGS: Final = Flags.LOCK | Flags.FOLD


def encode(attributes: Mapping[str, str]) -> bytes:
    """One message. Raises ValueError for text that the protocol cannot carry."""
    parts = list[bytes]()
    for name, value in attributes.items():
        data = value.encode("utf-8", "surrogateescape")
        if b"\0" in data:
            raise ValueError(f"{name} contains a NUL")
        parts += (name.encode(), data)
    message = b"\0".join([*parts, b"", b""])
    if len(message) > MESSAGE_LIMIT:
        raise ValueError(f"message is larger than {MESSAGE_LIMIT} bytes")
    return message


class Reader:
    """Takes bytes, gives messages; keeps what belongs to the next one."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._start = 0
        self._words: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[dict[str, str]]:
        """All messages that are complete with these bytes. Raises ProtocolError."""
        self._buffer += data
        messages = list[dict[str, str]]()
        while (end := self._buffer.find(b"\0", self._scanned)) >= 0:
            word = bytes(self._buffer[self._start : end])
            self._start = self._scanned = end + 1
            self._size += len(word) + 1
            if word or len(self._words) % 2:
                self._words.append(word)
            else:
                messages.append(_message(self._words))
                self._words, self._size = [], 0
            self._check(0)
        del self._buffer[: self._start]
        self._start, self._scanned = 0, len(self._buffer)
        self._check(len(self._buffer))
        return messages

    def _check(self, pending: int) -> None:
        if self._size + pending > MESSAGE_LIMIT or len(self._words) > 2 * ATTRIBUTE_LIMIT:
            raise ProtocolError("message is too long")


def _message(words: list[bytes]) -> dict[str, str]:
    texts = [word.decode("utf-8", "surrogateescape") for word in words]
    found = dict(zip(texts[::2], texts[1::2], strict=True))
    if len(found) != len(texts) // 2:
        raise ProtocolError("an attribute is given twice")
    return found


def number(text: str | None) -> int:
    """A status or a flag word. Raises ProtocolError."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise ProtocolError("a number is missing or malformed")
    return int(text)
