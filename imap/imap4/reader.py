"""Octets to commands: lines and literals (RFC 3501 section 2.2, LITERAL+ of RFC 7888), bounded and in linear time.

Sans-I/O. ``feed`` takes what came from the wire, ``next`` gives one event at a time: a whole :class:`Command`, a
:class:`Continue` (say ``+ OK``, then the literal comes) or a :class:`Refused` command. The same octets give the same
events however they are cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from imap.imap4.errors import ParseError, ReplyError, TooBig
from imap.store import StoreError

# A literal that is refused although its octets are already on the way is thrown away as it comes, up to this size;
# beyond it the connection ends.
MAX_DISCARD = 1 << 30

# ``{12}``, ``{12+}``, ``~{12}`` at the end of a line, where a token can begin.
_LITERAL = re.compile(rb"(?:^|[ (])(~?)\{([0-9]{1,20})(\+?)\}\Z")
_ID = re.compile(rb"[^ ]{1,64} ID ", re.IGNORECASE)
# A line cut into quoted strings and the rest; an open quote matches neither.
_BALANCED = re.compile(rb'(?:[^"]|"(?:[^"\\]|\\.)*")*\Z', re.DOTALL)


class Literal(bytes):
    """The octets of a literal; ``binary`` for a literal8 (RFC 3516)."""

    binary: bool = False


class Binary(Literal):
    """A literal8."""

    binary = True


class Sink(Protocol):
    """Where the octets of a big literal go as they come. Both may raise StoreError."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None:
        """Drop them, unless a command has made something of them. Safe to call twice."""


class Spooled(Literal):
    """A literal whose octets went into a sink; here there are none."""

    sink: Sink

    @classmethod
    def into(cls, sink: Sink) -> Spooled:
        """The literal that the sink holds. Whoever runs the command closes the sink."""
        literal = cls()
        literal.sink = sink
        return literal


class Command(NamedTuple):
    """A whole command: the pieces of its line with the literals between them."""

    pieces: tuple[bytes, ...]


class Continue(NamedTuple):
    """The literal that was announced may be sent now."""


class Refused(NamedTuple):
    """A command that was not read to its end. ``start`` is what came of its first line."""

    start: bytes
    error: ReplyError | StoreError
    fatal: bool = False


def close_sinks(pieces: Sequence[bytes]) -> None:
    """A command is over: what it left in its sinks goes."""
    for piece in pieces:
        if isinstance(piece, Spooled):
            piece.sink.close()


Event = Command | Continue | Refused
# A line outside of commands: a SASL response is the longest (base64 of a Kerberos ticket).
MAX_RESPONSE = 16 << 10
# The literals of one command together (MULTIAPPEND); bounds what one client can make the server hold.
MAX_LITERALS = 64 << 20

# Asked for each literal with the pieces so far, its size and whether it is a literal8; raises ReplyError to refuse it.
# What is returned takes the octets; None, and they are kept in memory.
Admit = Callable[[Sequence[bytes], int, bool], Sink | None]


class CommandReader:
    """One direction of one connection.

    ``max_line`` bounds a line and each literal that ``admit`` does not judge, ``max_literals`` those of one command
    that stay in memory; ``max_id`` is the bound of the ID command, where that is more.
    """

    def __init__(self, max_line: int, admit: Admit, max_literals: int = MAX_LITERALS, max_id: int = 0) -> None:
        self.max_line = max_line
        self.max_id = max_id
        self.max_literals = max_literals
        self.admit = admit
        self._buffer = bytearray()
        self._scanned = 0
        self._pieces: list[bytes] = []
        self._size = 0  # octets of the lines of this command
        self._literals = 0  # octets of its literals
        self._literal: bytearray | None = None
        self._sink: Sink | None = None
        self._binary = False
        self._missing = 0  # octets of the literal still to come
        self._refusal: ReplyError | StoreError | None = None
        self._skipping = False  # throwing away the rest of a line that was too long

    def feed(self, data: bytes) -> None:
        """Take octets from the wire."""
        self._buffer += data

    def clear(self) -> int:
        """Forget everything that was read and not yet given out; returns how many octets that was."""
        dropped = len(self._buffer) + sum(map(len, self._pieces)) + len(self._literal or b"")
        self._buffer.clear()
        self._missing, self._skipping = 0, False
        self._drop()
        return dropped

    @property
    def buffered(self) -> int:
        """Octets fed and not yet part of an event."""
        return len(self._buffer)

    def take_line(self) -> bytes | None:
        """One line outside of any command (a SASL response, DONE) without its line end; None until it is whole."""
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > MAX_RESPONSE:
                self._buffer.clear()
                self._scanned, self._skipping = 0, True
                raise ParseError("Too long line.")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        if self._skipping:
            self._skipping = False
            return self.take_line()
        return line.removesuffix(b"\r")

    def next(self) -> Event | None:
        """The next event, None when more octets are needed."""
        while self._buffer or self._literal is not None:
            if self._missing and not self._read_literal():
                return None
            if self._literal is not None:
                self._pieces.append(Binary(self._literal) if self._binary else Literal(self._literal))
                self._literal = None
            elif self._sink is not None:
                self._pieces.append(Spooled.into(self._sink))
                self._sink = None
            end = self._buffer.find(b"\n", self._scanned)
            if end < 0:
                return self._unfinished_line()
            event = self._line(end)
            if event is not None:
                return event
        return None

    def _unfinished_line(self) -> Event | None:
        self._scanned = len(self._buffer)
        if self._skipping:
            self._buffer.clear()
            self._scanned = 0
        elif self._too_long(self._scanned + self._size, self._buffer):
            start = self._pieces[0] if self._pieces else bytes(self._buffer[: self.max_line])
            self._drop()
            self._buffer.clear()
            self._skipping = True
            return Refused(start, ParseError("Too long argument."))
        return None

    def _too_long(self, size: int, line: bytes | bytearray) -> bool:
        """Whether a command is too long whose lines, with what there is of this one, have ``size`` octets."""
        if size <= self.max_line:
            return False
        return size > self.max_id or not _ID.match(self._pieces[0] if self._pieces else line)

    def _read_literal(self) -> bool:
        """Move octets of the literal out of the buffer; whether it is complete."""
        taken = min(self._missing, len(self._buffer))
        if self._literal is not None:
            self._literal += self._buffer[:taken]
        elif self._sink is not None:
            try:
                self._sink.write(bytes(self._buffer[:taken]))
            except StoreError as error:  # the rest of it is still on its way
                self._refusal = error
                self._drop_sink()
        del self._buffer[:taken]
        self._missing -= taken
        return not self._missing

    def _line(self, end: int) -> Event | None:
        """Take the line that ends at ``end``: the command is complete, refused, or goes on behind a literal."""
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._scanned = 0
        if self._skipping:
            self._skipping = False
            return None
        self._size += len(line)
        if self._size > self.max_line and self._too_long(self._size, line):
            return self._refused(line, ParseError("Too long argument."))
        announced = _LITERAL.search(line) if line.endswith(b"}") else None
        if announced is None or not _BALANCED.match(line):
            if self._refusal is not None:
                return self._refused(line, self._refusal)
            command = Command((*self._pieces, line))
            self._restart()
            return command
        size, synchronizing = int(announced[2]), not announced[3]
        self._pieces.append(line[: announced.start(1)])
        if self._refusal is None:
            try:
                self._sink = self.admit(self._pieces, size, bool(announced[1]))
                self._literals += size if self._sink is None else 0
                if self._literals > self.max_literals:
                    raise TooBig("Literal size too large")
            except (ReplyError, StoreError) as error:
                self._refusal = error
        if self._refusal is not None:
            fatal = isinstance(self._refusal, TooBig) or (size > MAX_DISCARD and not synchronizing)
            if synchronizing or fatal:
                return self._refused(line, self._refusal, fatal=fatal)
            self._missing = size
            return None
        self._missing, self._binary = size, bool(announced[1])
        self._literal = bytearray() if self._sink is None else None
        return Continue() if synchronizing else None

    def _refused(self, line: bytes, error: ReplyError | StoreError, *, fatal: bool = False) -> Refused:
        start = self._pieces[0] if self._pieces else line
        self._drop()
        return Refused(start, error, fatal)

    def _drop(self) -> None:
        """Forget the command, and what of it went into sinks."""
        self._drop_sink()
        close_sinks(self._pieces)
        self._restart()

    def _drop_sink(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _restart(self) -> None:
        self._pieces = []
        self._size = 0
        self._literals = 0
        self._refusal = None
        self._literal = None
        self._scanned = 0
