"""The maildrop of one POP3 session: the messages as they were at log-in, numbered, and what was done to them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imap.store import Expunged, Mailbox, StoreError

LAST = 1 << 32
_UIDL = re.compile(r"%(0?)([0-9]*)(X?)([uvfg%])")


@dataclass(slots=True)
class Item:
    """One message of the drop."""

    uid: int
    size: int
    unique_id: str
    deleted: bool = False
    seen: bool = False


class Maildrop:
    """Numbers are from 1. Nothing is changed in the mailbox before :meth:`commit`."""

    def __init__(self, mailbox: Mailbox, uidl_format: str) -> None:
        self.mailbox = mailbox
        self.items: list[Item] = []
        self.last = 0  # the highest message number accessed (LAST of RFC 1460)
        kept = mailbox.pop3_fields()
        for uid, message in mailbox.messages.items():
            try:
                made = unique_id(uidl_format, uid, mailbox.uidvalidity, message.guid)
                self.items.append(Item(uid, message.size, kept.get(uid, (0, ""))[1] or made))
            except Expunged:
                continue
        self.items.sort(
            key=lambda item: kept.get(item.uid, (0, ""))[0] or LAST
        )  # as Dovecot: those with an order first

    def remaining(self) -> list[tuple[int, Item]]:
        """Number and message of all that are not marked as deleted."""
        return [(number, item) for number, item in enumerate(self.items, 1) if not item.deleted]

    def read(self, item: Item) -> bytes:
        """The octets, CRLF form. Raises Expunged."""
        return self.mailbox.read(item.uid)

    def reset(self) -> None:
        """RSET: forget all marks."""
        self.last = 0
        for item in self.items:
            item.deleted = item.seen = False

    def commit_seen(self) -> None:
        """Mark what was read as \\Seen, however the session ends."""
        seen = [item.uid for item in self.items if item.seen and not item.deleted]
        if seen:
            self.mailbox.store(seen, "add", {"\\Seen"})

    def commit(self) -> int:
        """QUIT: delete what was marked. Returns how many; raises StoreError."""
        doomed = [item.uid for item in self.items if item.deleted]
        if doomed:
            self.mailbox.store(doomed, "add", {"\\Deleted"})
            self.mailbox.expunge(doomed)
        return len(doomed)

    def close(self) -> None:
        """Let go of the mailbox."""
        try:
            self.commit_seen()
        except StoreError:
            return  # the session is over: nobody is left to be told that a flag was not kept
        finally:
            self.mailbox.close()


def unique_id(form: str, uid: int, uidvalidity: int, guid: str) -> str:
    """``pop3_uidl_format`` filled in: %u UID, %v UIDVALIDITY, %f or %g file name; ``%08Xu`` in hexadecimal."""

    def value(found: re.Match[str]) -> str:
        zero, width, hexadecimal, letter = found.groups()
        if letter == "%":
            return "%"
        if letter in "fg":
            return guid
        number = uid if letter == "u" else uidvalidity
        return format(number, f"{zero}{width[:3]}{'x' if hexadecimal else 'd'}")

    return _UIDL.sub(value, form)
