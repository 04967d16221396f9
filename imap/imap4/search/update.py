"""CONTEXT=SEARCH (RFC 5267): searches whose results are kept up to date while the mailbox is selected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imap.imap4 import sequence
from imap.imap4.content import Content
from imap.imap4.syntax import string
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


class Updates:
    """The searches of one view, by tag."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._updates: dict[bytes, Update] = {}

    def __contains__(self, tag: bytes) -> bool:
        return tag in self._updates

    @property
    def full(self) -> bool:
        """Whether no further search is taken."""
        return len(self._updates) >= MAX_UPDATES

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
            update.matching -= gone

    def changed(self, write: Write, uids: Iterable[int]) -> None:
        """Look at messages that are new or have other flags, and tell what enters and leaves the results."""
        if not self._updates:
            return
        looked_at = frozenset(uids)
        for update in self._updates.values():
            now = {uid for uid in looked_at if self._matches(update, uid)}
            entering, leaving = now - update.matching, (looked_at - now) & update.matching
            self._tell(write, update, b"REMOVEFROM", leaving)
            self._tell(write, update, b"ADDTO", entering)
            update.matching = (update.matching - leaving) | entering

    def _matches(self, update: Update, uid: int) -> bool:
        message, number = self._view.mailbox.messages.get(uid), self._view.number(uid)
        if message is None or not number:
            return False
        try:
            return update.key.test(Content(self._view.mailbox, message, number))
        except Expunged:
            return False

    def _tell(self, write: Write, update: Update, what: bytes, uids: Iterable[int]) -> None:
        shown = sorted(uids) if update.uid else sorted(filter(None, map(self._view.number, uids)))
        if shown:
            mark = b" UID" if update.uid else b""
            write(b"* ESEARCH (TAG %b)%b %b (0 %b)\r\n" % (string(update.tag), mark, what, sequence.write(shown)))
