"""What filters change in a message, and the message with the changes. Pure.

Positions count as in Sendmail: fields of one name from 1, all fields from 1, without our own Received header, which
filters are not shown (cleanup_milter.c is the authority on Postfix's side).
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from mta.message import headers
from mta.message.headers import Field
from mta.milter.protocol import Action, Packet, ProtocolError, split_strings

NUMBER_SIZE: Final = 4
"""Octets of a position in front of a field."""


@dataclass(slots=True)
class Edits:
    """A message that filters work on; `content` starts with `own` octets of header that filters are not shown."""

    content: bytes
    sender: str
    recipients: list[str]
    """Added and deleted by filters, external form without brackets; those who were there first keep their place."""
    own: int = 0
    hold: bool = False
    added: list[tuple[str, str]] = field(default_factory=list)
    """Addresses and their ESMTP parameters."""
    removed: list[str] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    new_sender: str | None = None
    check: Callable[[str], Awaitable[list[str]]] | None = None
    """What stands in place of a header field that is added or changed: lines, none where it is left out."""

    def shown(self) -> tuple[list[Field], bytes]:
        """The fields that a filter sees, and the body without the empty line before it."""
        fields, rest = headers.split(self.content[self.own :])
        return fields, rest.removeprefix(b"\r\n")

    async def inspected(self, packet: Packet) -> Packet | None:
        """A modification as `check` lets it pass; None where it does not."""
        if self.check is None or packet.letter not in (b"h", b"i", b"m"):
            return packet
        size = 0 if packet.letter == b"h" else NUMBER_SIZE
        name, value = _pair(packet.data[size:])
        if not value and packet.letter == b"m":
            return packet  # a deletion
        lines = await self.check(text := f"{name}: {value}")
        if not lines:
            if packet.letter != b"m":
                return None
            lines = [f"{name}:"]
        elif lines[-1] == text:
            return packet
        name, _, value = lines[-1].partition(":")
        pair = f"{name.strip()}\0{value.strip()}\0".encode("utf-8", "surrogateescape")
        return Packet(packet.letter, packet.data[:size] + pair)

    def apply(self, packet: Packet, allowed: Action) -> None:
        """One modification; raises ProtocolError for one that is malformed or was not negotiated."""
        needed, change = _CHANGES.get(packet.letter, (None, None))
        if needed is None or change is None:
            raise ProtocolError(f"unexpected packet {packet.letter!r}")
        if needed not in allowed:
            raise ProtocolError(f"modification {packet.letter!r} was not negotiated")
        change(self, packet.data)

    def finish(self) -> None:
        """One filter is done: its new body takes the place of the old one."""
        if self.body:
            fields, _ = self.shown()
            self._rebuild(fields, b"\r\n" + b"".join(self.body))
            self.body = []

    def _rebuild(self, fields: list[Field], rest: bytes) -> None:
        self.content = self.content[: self.own] + headers.join(fields, rest)

    def _parts(self) -> tuple[list[Field], bytes]:
        return headers.split(self.content[self.own :])

    def add_header(self, data: bytes) -> None:
        name, value = _pair(data)
        fields, rest = self._parts()
        self._rebuild([*fields, _field(name, value)], rest)

    def insert_header(self, data: bytes) -> None:
        index, data = _number(data)
        name, value = _pair(data)
        fields, rest = self._parts()
        position = min(max(index - 1, 0), len(fields))
        self._rebuild([*fields[:position], _field(name, value), *fields[position:]], rest)

    def change_header(self, data: bytes) -> None:
        """The index-th field of a name; an empty value deletes it, a missing field is added."""
        index, data = _number(data)
        name, value = _pair(data)
        fields, rest = self._parts()
        same = [at for at, each in enumerate(fields) if each.name == name.lower().encode("utf-8", "surrogateescape")]
        if not 1 <= index <= len(same):
            if value:
                self._rebuild([*fields, _field(name, value)], rest)
            return
        at = same[index - 1]
        replacement = [_field(name, value)] if value else []
        self._rebuild([*fields[:at], *replacement, *fields[at + 1 :]], rest)

    def replace_body(self, data: bytes) -> None:
        self.body.append(data)

    def add_recipient(self, data: bytes) -> None:
        address, *parameters = split_strings(data)
        self.added.append((_bare(address), " ".join(parameters)))

    def delete_recipient(self, data: bytes) -> None:
        self.removed.append(_bare(split_strings(data)[0]))

    def change_sender(self, data: bytes) -> None:
        self.new_sender = _bare(split_strings(data)[0])

    def quarantine(self, data: bytes) -> None:
        self.hold = True


_CHANGES = {
    b"h": (Action.ADD_HEADER, Edits.add_header),
    b"i": (Action.ADD_HEADER, Edits.insert_header),
    b"m": (Action.CHANGE_HEADER, Edits.change_header),
    b"b": (Action.CHANGE_BODY, Edits.replace_body),
    b"+": (Action.ADD_RECIPIENT, Edits.add_recipient),
    b"2": (Action.ADD_RECIPIENT_WITH_PARAMETERS, Edits.add_recipient),
    b"-": (Action.DELETE_RECIPIENT, Edits.delete_recipient),
    b"e": (Action.CHANGE_SENDER, Edits.change_sender),
    b"q": (Action.QUARANTINE, Edits.quarantine),
}


def _number(data: bytes) -> tuple[int, bytes]:
    if len(data) < NUMBER_SIZE:
        raise ProtocolError("a position is missing")
    (number,) = struct.unpack_from(">I", data)
    return number, data[NUMBER_SIZE:]


def _pair(data: bytes) -> tuple[str, str]:
    fields = split_strings(data)
    if len(fields) != 2 or not fields[0] or any(not "!" <= each <= "~" or each == ":" for each in fields[0]):
        raise ProtocolError("a header field is malformed")
    return fields[0], fields[1]


def _field(name: str, value: str) -> Field:
    """Lines of a filter's value may end in LF or CRLF; those that follow the first must begin with a blank."""
    lines = value.replace("\r\n", "\n").replace("\r", "").split("\n")
    folded = "\n".join(
        [lines[0].lstrip(" \t"), *(line if line[:1] in (" ", "\t") else f"\t{line}" for line in lines[1:])]
    )
    return headers.field(name, folded)


def _bare(address: str) -> str:
    return address[1:-1] if address.startswith("<") and address.endswith(">") else address
