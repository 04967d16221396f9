"""FETCH and UID FETCH (RFC 3501 section 6.4.5), CHANGEDSINCE and VANISHED (RFC 7162)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from imap.imap4 import sequence
from imap.imap4.arguments import Arguments
from imap.imap4.commands.base import Command, Flush, Reply, State
from imap.imap4.commands.message import enable_condstore, selected
from imap.imap4.content import Content
from imap.imap4.errors import Bad, No
from imap.imap4.fetch import BIG, Items, Whole
from imap.imap4.sequence import SequenceSet
from imap.imap4.syntax import literal
from imap.imap4.view import View
from imap.session import Disconnect
from imap.store import Expunged, Message

if TYPE_CHECKING:
    from imap.imap4.session import Session

# Messages that are answered in one go where all that is asked for is known.
KNOWN_CHUNK = 1000
# Messages whose flags are set, and whose cached values are read and written, in one go.
CHUNK = 100


class Fetch(Command):
    """FETCH set items [(modifiers)]."""

    name = "FETCH"
    states = State.SELECTED
    takes_uid = True
    flush = Flush.NEWS

    changed_since: int | None = None
    vanished = False

    async def run(self, session: Session, arguments: Arguments) -> Reply:
        view = selected(session)
        text = arguments.atom()
        items = Items(view.flags, extensions=view.extensions)
        if self.uid:
            items.add("UID")
        if not arguments.more():
            raise Bad("Missing arguments.")
        items.read(arguments)
        if arguments.more():
            self._modifiers(session, arguments)
        arguments.end()
        ranges = view.ranges(text, uid=self.uid)
        if self.changed_since is not None:
            items.add("MODSEQ")
        if items.wants_modseq:
            enable_condstore(session, view)
        if self.vanished:
            self._tell_vanished(session, view, text)
        missing = False
        for numbers in (
            each[start : start + KNOWN_CHUNK] for each in ranges for start in range(0, len(each), KNOWN_CHUNK)
        ):
            if not self._tell_known(session, view, items, numbers):
                for start in range(0, len(numbers), CHUNK):
                    missing |= await self._fetch(session, view, items, numbers[start : start + CHUNK])
            if session.out_of_breath():
                await session.breathe()
        if missing:
            return Reply("Some messages were already expunged.", "EXPUNGEISSUED")
        return Reply("Fetch completed.")

    def _modifiers(self, session: Session, arguments: Arguments) -> None:
        group = arguments.group()
        while group.more():
            word = group.word()
            if word == "CHANGEDSINCE":
                self.changed_since = group.number()
            elif word == "VANISHED" and self.uid:
                self.vanished = True
            else:
                raise Bad("Unknown FETCH modifier")
        if self.vanished and (self.changed_since is None or "QRESYNC" not in session.enabled):
            raise Bad("VANISHED needs CHANGEDSINCE and QRESYNC.")

    def _tell_vanished(self, session: Session, view: View, text: bytes) -> None:
        assert self.changed_since is not None
        mailbox = view.mailbox
        gone: Sequence[int] | None = mailbox.vanished(self.changed_since)
        ranges = SequenceSet.parse(text).resolved(mailbox.uidnext - 1)
        if gone is None:
            gone = [uid for a, b in ranges for uid in range(a, min(b, mailbox.uidnext - 1) + 1)]
        told = [
            uid for uid in gone if uid not in mailbox.messages and any(first <= uid <= last for first, last in ranges)
        ]
        if told:
            session.write(b"* VANISHED (EARLIER) " + sequence.write(told) + b"\r\n")

    def _tell_known(self, session: Session, view: View, items: Items, numbers: range) -> bool:
        """Answer at once if nothing must be read for it; False, nothing said, if something must."""
        messages = view.messages(numbers) if self.changed_since is None else None
        if not messages:
            return False
        uids = [message.uid for message in messages] if items.cache_keys else []
        texts = items.known(messages, {key: view.mailbox.cached(key, uids) for key in items.cache_keys})
        if texts is None:
            return False
        if items.wants_modseq:
            view.told_modseq(max(message.modseq for message in messages))
        session.write(b"".join([b"* %d FETCH (%b)\r\n" % pair for pair in zip(numbers, texts, strict=True)]))
        return True

    async def _fetch(self, session: Session, view: View, items: Items, numbers: range) -> bool:
        """Answer for some messages; whether one of them is gone."""
        found: list[tuple[int, Message]] = []
        missing = False
        for number in numbers:
            message = view.message(number)
            if message is None:
                missing = True
            elif self.changed_since is None or message.modseq > self.changed_since:
                found.append((number, message))
        newly_seen = self._mark_seen(view, items, found)
        uids = [message.uid for _, message in found]
        cached = {key: view.mailbox.cached(key, uids) for key in items.cache_keys}
        fresh: dict[str, dict[int, bytes]] = {key: {} for key in cached}
        for number, message in found:
            known = {key: values[message.uid] for key, values in cached.items() if message.uid in values}
            had = set(known)
            content = Content(view.mailbox, message, number)
            try:
                values = items.render(content, known, await items.prepare(content, known))
            except No:
                session.write(b"* %d FETCH (UID %d)\r\n" % (number, message.uid))  # as Dovecot: which one it was
                raise
            if items.wants_modseq:
                view.told_modseq(message.modseq)
            for key in known.keys() - had:
                fresh[key][message.uid] = known[key]
            if message.uid in newly_seen and not items.wants_flags:
                values.append(b"FLAGS " + view.flags(message))
                if view.condstore and not items.wants_modseq:
                    values.append(b"MODSEQ (%d)" % message.modseq)
                    view.told_modseq(message.modseq)
                if view.qresync and not items.wants_uid:
                    values.append(b"UID %d" % message.uid)
            if any(isinstance(value, Whole) for value in values):
                await _tell_big(session, content, values)
            else:
                session.write(b"* %d FETCH (%b)\r\n" % (number, b" ".join(cast("list[bytes]", values))))
            missing |= content.expunged
            if session.out_of_breath():
                await session.breathe()
        for key, new in fresh.items():
            if new:
                view.mailbox.cache(key, new)
        return missing

    @staticmethod
    def _mark_seen(view: View, items: Items, found: list[tuple[int, Message]]) -> set[int]:
        if not items.sets_seen or view.mailbox.read_only:
            return set()
        unseen = [message.uid for _, message in found if "\\Seen" not in message.flags]
        changed = set(view.mailbox.store(unseen, "add", {"\\Seen"}).changed) if unseen else set()
        view.touched(changed)
        return changed


async def _tell_big(session: Session, content: Content, values: list[bytes | Whole]) -> None:
    """One FETCH response; a big message goes out in pieces, as the client takes them."""
    text = b"* %d FETCH (" % content.number
    for position, value in enumerate(values):
        text += b" " if position else b""
        if isinstance(value, bytes):
            text += value
            continue
        try:
            opened, start, count = value.open(content)
        except Expunged:
            content.expunged = True
            text += value.label + b" NIL"
            continue
        with contextlib.closing(opened):
            if count is not None and count <= BIG:
                text += value.label + b" " + literal(b"".join(opened.pieces(start, count)).replace(b"\0", b"\x80"))
                continue
            size = await asyncio.to_thread(opened.size, start, count)
            session.write(text + value.label + b" {%d}\r\n" % size)
            text = b""
            for piece in opened.pieces(start, count):
                size -= len(piece)
                session.write(piece.replace(b"\0", b"\x80"))
                if session.out_of_breath():
                    await session.breathe()
        if size:
            raise Disconnect("A message changed while it was read.")
    session.write(text + b")\r\n")
