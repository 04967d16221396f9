"""A message while a command looks at it: header, octets and MIME tree are read when first needed, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from imap.mime import Part, parse
from imap.mime.header import Field, fields, header_end
from imap.store import Mailbox, Message

T = TypeVar("T")

# Octets of a message from which on it is taken apart in a thread: Python reads a hostile header at about a microsecond
# per octet, and other sessions are not to wait for that.
HEAVY = 128 << 10


class Content:
    """One message of an open mailbox. Every attribute may raise Expunged."""

    def __init__(self, mailbox: Mailbox, message: Message, number: int) -> None:
        self.mailbox = mailbox
        self.message = message
        self.number = number
        self.expunged = False  # whether something could not be read any more

    @cached_property
    def data(self) -> bytes:
        """The whole message, CRLF form."""
        return self.mailbox.read(self.message.uid)

    @cached_property
    def header(self) -> bytes:
        """The header with its blank line, CRLF form."""
        if "data" in self.__dict__:
            return self.data[: header_end(self.data, 0)]
        return self.mailbox.read_header(self.message.uid)

    @cached_property
    def save_date(self) -> int:
        """When it came into the mailbox (RFC 8514); kept, since a flag change touches the file that tells it."""
        uid = self.message.uid
        known = self.mailbox.cached("savedate", [uid]).get(uid)
        if known is not None:
            return int(known)
        date = self.mailbox.save_date(uid)
        self.mailbox.cache("savedate", {uid: b"%d" % date})
        return date

    async def tell(self, work: Callable[[Content], T], *, whole: bool) -> T:
        """What ``work`` makes of the message, of its header alone unless ``whole``; in a thread where it is heavy.

        Raises Expunged.
        """
        if len(self.data if whole else self.header) <= HEAVY:
            return work(self)
        # The mailbox is asked here; the thread sees only octets.
        _ = self.message.size, self.message.internal_date, self.save_date
        return await asyncio.to_thread(work, self)

    @cached_property
    def part(self) -> Part:
        """The MIME tree."""
        return parse(self.data)

    @cached_property
    def header_part(self) -> Part:
        """The top part as far as the header tells it."""
        return self.part if "data" in self.__dict__ else parse(self.header)

    @cached_property
    def header_fields(self) -> dict[bytes, list[Field]]:
        """The fields of the top header by lower-case name."""
        found: dict[bytes, list[Field]] = {}
        for field in fields(self.header, 0):
            found.setdefault(field.name.lower(), []).append(field)
        return found
