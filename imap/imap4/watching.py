"""Looks after the mailboxes of a NOTIFY: the selected one as it changes, the others now and then."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imap.imap4.commands.names import wire_name
from imap.imap4.notify import Notify
from imap.imap4.syntax import string
from imap.store import MailboxInfo, NoPermission, Status, StoreError, UserStore

if TYPE_CHECKING:
    from imap.imap4.session import Session
    from imap.imap4.view import View

# Seconds between two looks at mailboxes that are not selected.
LOOK = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was last told of a mailbox."""

    info: MailboxInfo
    status: Status | None
    refused: bool = False  # it may be looked up, not read


class Watcher:
    """The NOTIFY of one session while it is in force."""

    def __init__(self, session: Session, store: UserStore, notify: Notify) -> None:
        self.notify = notify
        self._session = session
        self._store = store
        self._cleanup = contextlib.ExitStack()
        self._selected = contextlib.ExitStack()
        self._seen = self._look()
        if notify.status:
            for seen in self._seen.values():
                if seen.refused:
                    self._list(seen.info, ["\\NoAccess"])  # RFC 5465 section 5.9
                self._tell_status(seen, ["MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ"])
        if notify.watches_others:
            self._cleanup.callback(asyncio.get_running_loop().create_task(self._watch_others()).cancel)
        if session.view is not None:
            self.follow(session.view)

    def close(self) -> None:
        """NOTIFY NONE, another NOTIFY, or the end of the session."""
        self.unfollow()
        self._cleanup.close()

    # The selected mailbox

    @property
    def tells_selected(self) -> bool:
        """Whether news of the selected mailbox are told at all (RFC 5465 section 5.1)."""
        return self.notify.selected is not None and bool(self.notify.selected.events)

    def follow(self, view: View) -> None:
        """A mailbox was selected: tell its news as they happen."""
        if not self.tells_selected:
            return
        watch = view.mailbox.watch()
        self._selected.callback(watch.close)
        loop, descriptor = asyncio.get_running_loop(), watch.fileno()

        def changed() -> None:
            watch.drain()
            if not self._session.between_commands:
                return  # told with the answer to the command at hand
            self._session.tell_news(view, expunges=False)

        loop.add_reader(descriptor, self._session.guard, changed)
        self._selected.callback(loop.remove_reader, descriptor)

    def unfollow(self) -> None:
        """The mailbox is no longer selected."""
        self._selected.close()

    # The others

    async def _watch_others(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if self._session.between_commands:
                self._session.guard(self._tell_changes)

    def _look(self) -> dict[str, Seen]:
        """All mailboxes that a group is about, as they are now."""
        selected = self._session.view.mailbox.name if self._session.view is not None else None
        found: dict[str, Seen] = {}
        for info in self._store.list_mailboxes():
            if not self.notify.events(info, self._store.separator):
                continue
            status, refused = None, False
            if info.selectable and info.name != selected:
                try:
                    status = self._store.status(info.name)
                except StoreError as error:  # if it was deleted meanwhile, the next look sees it
                    refused = isinstance(error, NoPermission)
            found[info.name] = Seen(info, status, refused)
        return found

    def _tell_changes(self) -> None:
        before, self._seen = self._seen, self._look()
        gone = {name: seen for name, seen in before.items() if name not in self._seen and seen.info.selectable}
        for name, seen in self._seen.items():
            earlier = before.get(name)
            events = self.notify.events(seen.info, self._store.separator)
            self._tell_name(earlier, seen, events, gone)
            if earlier is not None and earlier.status is not None and seen.status is not None:
                self._tell_messages(earlier.status, seen, events)
        for seen in gone.values():
            if "MAILBOXNAME" in self.notify.events(seen.info, self._store.separator):
                self._list(seen.info, ["\\NonExistent"])

    def _tell_name(self, earlier: Seen | None, seen: Seen, events: frozenset[str], gone: dict[str, Seen]) -> None:
        """A mailbox that came, was renamed, or whose subscription changed."""
        info = seen.info
        flags = ["\\Subscribed"] if info.subscribed and "SUBSCRIPTIONCHANGE" in events else []
        existed = earlier is not None and earlier.info.selectable
        if not existed and info.selectable and "MAILBOXNAME" in events:
            old = next((name for name, each in gone.items() if self._is_same(each, seen)), None)
            if old is not None:
                del gone[old]
            self._list(info, flags, old)
        elif earlier is not None and earlier.info.subscribed != info.subscribed and "SUBSCRIPTIONCHANGE" in events:
            self._list(info, flags)

    @staticmethod
    def _is_same(gone: Seen, come: Seen) -> bool:
        return gone.status is not None and come.status is not None and gone.status.guid == come.status.guid

    def _tell_messages(self, before: Status, seen: Seen, events: frozenset[str]) -> None:
        now = seen.status
        assert now is not None
        items: list[str] = []
        if "MESSAGENEW" in events and (now.messages, now.uidnext) != (before.messages, before.uidnext):
            items += ["MESSAGES", "UIDNEXT"]
        if "FLAGCHANGE" in events and (items or now.unseen != before.unseen):
            items += ["UNSEEN", "HIGHESTMODSEQ"]
        if items:
            self._tell_status(seen, items)

    def _tell_status(self, seen: Seen, items: list[str]) -> None:
        status = seen.status
        if status is None:
            return
        values = {
            "MESSAGES": status.messages,
            "UIDNEXT": status.uidnext,
            "UIDVALIDITY": status.uidvalidity,
            "UNSEEN": status.unseen,
            "HIGHESTMODSEQ": status.highest_modseq,
        }
        text = " ".join(f"{item} {values[item]}" for item in items)
        self._session.write(b"* STATUS " + wire_name(seen.info.name, self._session.utf8) + f" ({text})\r\n".encode())

    def _list(self, info: MailboxInfo, flags: list[str], old: str | None = None) -> None:
        utf8 = self._session.utf8
        extra = b"" if old is None else b' ("OLDNAME" (' + wire_name(old, utf8) + b"))"
        pair = string(info.separator.encode()), wire_name(info.name, utf8)
        self._session.write(b"* LIST (%b) %b %b%b\r\n" % (" ".join(flags).encode(), *pair, extra))
