"""What both clients of an auth server have in common: lines in, events by a table, numbered requests out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

from .wire import REPLY_LINE_MAX, UINT_MAX, LineBuffer, ProtocolError, line, number, text_of, words_of

S = TypeVar("S", bound=Enum)
E = TypeVar("E")

Row = tuple[Callable[[Any, list[str]], E | None], S]
"""Of a table: the handler of a line, and the state after it."""


class AskingSide(ABC, Generic[S, E]):
    """One connection to an auth server, seen from the client. Subclasses bring the states, the table, the requests."""

    line_max: ClassVar[int]
    """Octets of a line that the server takes."""

    def __init__(self, state: S, *hello: bytes) -> None:
        self.state = state
        self._next = 1
        self._lines = LineBuffer(REPLY_LINE_MAX)
        self._out = bytearray(b"".join(hello))

    @abstractmethod
    def _row(self, word: str) -> Row[E, S] | None:
        """The row for a line that begins with this word; None where it may not come."""

    def _skips(self) -> bool:
        """Whether unknown lines are passed over now."""
        return False

    def receive(self, data: bytes) -> Iterator[E]:
        """Yield what the server says. Raises ProtocolError: close the connection."""
        for raw in self._lines.feed(data):
            words = words_of(text_of(raw))
            row = self._row(words[0])
            if row is None:
                if self._skips():
                    continue
                raise ProtocolError(f"sent {words[0][:20]!r} in state {self.state.name}")
            handler, self.state = row
            event = handler(self, words[1:])
            if event is not None:
                yield event

    def data_to_send(self) -> bytes:
        """Bytes due to the server, handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def _request(self, command: str, *words: str) -> int:
        """Send a request; its number. Raises ProtocolError when it is too long to be sent."""
        id = self._next
        self._send(command, str(id), *words)
        self._next = id % UINT_MAX + 1
        return id

    def _send(self, *words: str) -> None:
        data = line(*words)
        if len(data) > self.line_max:
            raise ProtocolError(f"a request may not be longer than {self.line_max} bytes")
        self._out += data


def number_of(words: Sequence[str]) -> int:
    """The request that a reply is about. Raises ProtocolError."""
    value = number(words[0]) if words else None
    if not value:
        raise ProtocolError("sent a reply without a number")
    return value
