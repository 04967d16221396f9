"""CONTEXT=SEARCH (RFC 5267): searches whose results are kept up to date while the mailbox is selected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imap.imap4 import sequence
from imap.imap4.content import HEAVY, Content
from imap.imap4.search.cost import BODY, HEADER
from imap.imap4.syntax import string
from imap.session import SLICE
from imap.store import Expunged

if TYPE_CHECKING:
    from imap.imap4.search.keys import Key
    from imap.imap4.view import View

# Searches that one session may have updated; a further one is answered with NOUPDATE (RFC 5267 section 4.3.1).
MAX_UPDATES = 8

Write = Callable[[bytes], None]


@dataclass(slots=True)
class Update:
    """One search that is kept up to date: its key and the UIDs that match now."""

    tag: bytes
    uid: bool
    key: Key
    matching: set[int]
    unjudged: set[int] = field(default_factory=set)  # new or changed, and dear to look at
    entering: set[int] = field(default_factory=set)  # looked at since, and not told yet
    leaving: set[int] = field(default_factory=set)

    def judged(self, uid: int, *, matches: bool) -> None:
        """Note whether a message matches now."""
        self.entering.discard(uid)
        self.leaving.discard(uid)
        if matches is not (uid in self.matching):
            (self.entering if matches else self.leaving).add(uid)


class Updates:
    """The searches of one view, by tag.

    What costs little is looked at when the mailbox is brought up to date, and told with it. Big messages, and what does
    not fit into a slice of time, wait for :meth:`judge`, which lets other sessions run.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._updates: dict[bytes, Update] = {}

    def __contains__(self, tag: bytes) -> bool:
        return tag in self._updates

    @property
    def full(self) -> bool:
        """Whether no further search is taken."""
        return len(self._updates) >= MAX_UPDATES

    @property
    def unjudged(self) -> bool:
        """Whether :meth:`judge` has something to do."""
        return any(update.unjudged for update in self._updates.values())

    def add(self, update: Update) -> None:
        """Keep a search up to date from now on."""
        self._updates[update.tag] = update

    def cancel(self, tag: bytes) -> bool:
        """CANCELUPDATE; False if there is no such search."""
        return self._updates.pop(tag, None) is not None

    def expunging(self, write: Write, uids: Iterable[int]) -> None:
        """Tell what leaves the results with messages that are expunged; before their numbers are free."""
        gone = frozenset(uids)
        for update in self._updates.values():
            self._tell(write, update, b"REMOVEFROM", update.matching & gone)
            for known in (update.matching, update.unjudged, update.entering, update.leaving):
                known -= gone

    def changed(self, write: Write, uids: Iterable[int]) -> None:
        """Look at messages that are new or have other flags, and tell what enters and leaves the results."""
        if not self._updates:
            return
        looked_at = sorted(frozenset(uids))
        deadline = time.monotonic() + SLICE
        for update in self._updates.values():
            for uid in looked_at:
                content = self._content(uid)
                if self._is_cheap(update.key, content) and time.monotonic() < deadline:
                    update.judged(uid, matches=_test(update.key, content))
                    update.unjudged.discard(uid)
                else:
                    update.unjudged.add(uid)
        self.tell(write)

    async def judge(self) -> None:
        """Look at what was put off."""
        for update in list(self._updates.values()):
            while update.unjudged:
                uid = update.unjudged.pop()
                content = self._content(uid)
                try:
                    matches = content is not None and await content.tell(update.key.test, whole=update.key.cost == BODY)
                except Expunged:
                    matches = False
                update.judged(uid, matches=matches)
                await asyncio.sleep(0)

    def tell(self, write: Write) -> None:
        """Tell what enters and leaves the results, as far as it is known."""
        for update in self._updates.values():
            self._tell(write, update, b"REMOVEFROM", update.leaving)
            self._tell(write, update, b"ADDTO", update.entering)
            update.matching = (update.matching - update.leaving) | update.entering
            update.entering, update.leaving = set(), set()

    def _content(self, uid: int) -> Content | None:
        message, number = self._view.mailbox.messages.get(uid), self._view.number(uid)
        return Content(self._view.mailbox, message, number) if message is not None and number else None

    @staticmethod
    def _is_cheap(key: Key, content: Content | None) -> bool:
        try:
            return content is None or key.cost < HEADER or content.message.size <= HEAVY
        except Expunged:
            return True

    def _tell(self, write: Write, update: Update, what: bytes, uids: Iterable[int]) -> None:
        shown = sorted(uids) if update.uid else sorted(filter(None, map(self._view.number, uids)))
        if shown:
            mark = b" UID" if update.uid else b""
            write(b"* ESEARCH (TAG %b)%b %b (0 %b)\r\n" % (string(update.tag), mark, what, sequence.write(shown)))


def _test(key: Key, content: Content | None) -> bool:
    try:
        return content is not None and key.test(content)
    except Expunged:
        return False
