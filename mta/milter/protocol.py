"""Milter packets: a length, a letter, fields. Sans-I/O (Sendmail's libmilter, mfdef.h; MILTER_README)."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

VERSION: Final = 6
PACKET_LIMIT: Final = 1 << 20
"""Octets of a filter's packet; a replaced body comes in chunks of 64 KiB, the rest is shorter."""
BODY_CHUNK: Final = 65535
"""Octets of a body packet that we send."""


class ProtocolError(Exception):
    """The filter sends what the protocol does not know."""


class Command(enum.Enum):
    """What we say."""

    OPTIONS = b"O"
    MACROS = b"D"
    CONNECT = b"C"
    HELO = b"H"
    MAIL = b"M"
    RCPT = b"R"
    DATA = b"T"
    HEADER = b"L"
    END_OF_HEADER = b"N"
    BODY = b"B"
    END_OF_BODY = b"E"
    UNKNOWN = b"U"
    ABORT = b"A"
    QUIT = b"Q"


class Action(enum.IntFlag):
    """What a filter may do; it asks for what it needs."""

    ADD_HEADER = 0x01
    CHANGE_BODY = 0x02
    ADD_RECIPIENT = 0x04
    DELETE_RECIPIENT = 0x08
    CHANGE_HEADER = 0x10
    QUARANTINE = 0x20
    CHANGE_SENDER = 0x40
    ADD_RECIPIENT_WITH_PARAMETERS = 0x80
    SET_MACROS = 0x100


class Step(enum.IntFlag):
    """Events that a filter does not want (NO_), and those that it does not answer (NR_)."""

    NO_CONNECT = 0x01
    NO_HELO = 0x02
    NO_MAIL = 0x04
    NO_RCPT = 0x08
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADER = 0x40
    NR_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    REJECTED_RECIPIENTS = 0x800
    NR_CONNECT = 0x1000
    NR_HELO = 0x2000
    NR_MAIL = 0x4000
    NR_RCPT = 0x8000
    NR_DATA = 0x10000
    NR_UNKNOWN = 0x20000
    NR_END_OF_HEADER = 0x40000
    NR_BODY = 0x80000
    HEADER_LEADING_SPACE = 0x100000


ALL_ACTIONS: Final = Action(0x1FF)
ALL_STEPS: Final = Step(0x1FFFFF)

UNWANTED: Final = {
    Command.CONNECT: Step.NO_CONNECT,
    Command.HELO: Step.NO_HELO,
    Command.MAIL: Step.NO_MAIL,
    Command.RCPT: Step.NO_RCPT,
    Command.DATA: Step.NO_DATA,
    Command.HEADER: Step.NO_HEADERS,
    Command.END_OF_HEADER: Step.NO_END_OF_HEADER,
    Command.BODY: Step.NO_BODY,
    Command.UNKNOWN: Step.NO_UNKNOWN,
}
UNANSWERED: Final = {
    Command.CONNECT: Step.NR_CONNECT,
    Command.HELO: Step.NR_HELO,
    Command.MAIL: Step.NR_MAIL,
    Command.RCPT: Step.NR_RCPT,
    Command.DATA: Step.NR_DATA,
    Command.HEADER: Step.NR_HEADER,
    Command.END_OF_HEADER: Step.NR_END_OF_HEADER,
    Command.BODY: Step.NR_BODY,
    Command.UNKNOWN: Step.NR_UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Packet:
    """A letter and what follows it."""

    letter: bytes
    data: bytes = b""

    def encode(self) -> bytes:
        return struct.pack(">I", len(self.data) + 1) + self.letter + self.data


def strings(*values: str) -> bytes:
    """Fields that end in NUL; a NUL within a value would begin another field and is taken out."""
    return b"".join(value.replace("\0", "").encode("utf-8", "surrogateescape") + b"\0" for value in values)


def split_strings(data: bytes) -> list[str]:
    """The fields of a packet. Raises ProtocolError where the last one does not end."""
    if not data.endswith(b"\0"):
        raise ProtocolError("a string is not terminated")
    return [part.decode("utf-8", "surrogateescape") for part in data[:-1].split(b"\0")]


def options() -> Packet:
    """What we are able to do; the filter answers with what it wants."""
    return Packet(Command.OPTIONS.value, struct.pack(">III", VERSION, ALL_ACTIONS, ALL_STEPS))


def parse_options(data: bytes) -> tuple[Action, Step]:
    """The filter's wishes. Raises ProtocolError for a version or wishes that we have not offered."""
    if len(data) < 12:
        raise ProtocolError("bad negotiation")
    version, actions, steps = struct.unpack_from(">III", data)
    if not 2 <= version <= VERSION or actions & ~int(ALL_ACTIONS) or steps & ~int(ALL_STEPS):
        raise ProtocolError(f"unsupported: version {version}, actions {actions:#x}, steps {steps:#x}")
    return Action(actions), Step(steps)


def macros(command: Command, values: Iterable[tuple[str, str]]) -> Packet:
    """Names and values told ahead of an event."""
    fields = [field for pair in values for field in pair]
    return Packet(Command.MACROS.value, command.value + strings(*fields))


def connect(name: str, address: str, port: int) -> Packet:
    """Who connected: family 4 or 6, or U where the address is not known."""
    if not address:
        return Packet(Command.CONNECT.value, strings(name) + b"U")
    family = b"6" if ":" in address else b"4"
    shown = f"IPv6:{address}" if family == b"6" else address
    return Packet(Command.CONNECT.value, strings(name) + family + struct.pack(">H", port) + strings(shown))


def envelope(command: Command, address: str, parameters: Sequence[str]) -> Packet:
    """MAIL or RCPT with its ESMTP parameters; the address as it is told, with angle brackets or without."""
    return Packet(command.value, strings(address, *parameters))


def header(name: bytes, value: bytes) -> Packet:
    """One header field; line ends inside are single line feeds."""
    return Packet(Command.HEADER.value, name + b"\0" + value.replace(b"\0", b"") + b"\0")


class Reader:
    """Packets out of a stream of octets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> list[Packet]:
        """What is complete. Raises ProtocolError for a length that no filter needs."""
        self._buffer += octets
        packets = []
        while len(self._buffer) >= 4:
            (length,) = struct.unpack_from(">I", self._buffer)
            if not 1 <= length <= PACKET_LIMIT:
                raise ProtocolError(f"packet of {length} octets")
            if len(self._buffer) < 4 + length:
                break
            packets.append(Packet(bytes(self._buffer[4:5]), bytes(self._buffer[5 : 4 + length])))
            del self._buffer[: 4 + length]
        return packets
