"""Changing messages: STORE, COPY, MOVE, EXPUNGE (RFC 3501 section 6.4; UIDPLUS RFC 4315, MOVE RFC 6851, RFC 7162)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imap.imap4 import sequence
from imap.imap4.arguments import Argument, Arguments, Group
from imap.imap4.commands.base import Command, Flush, Reply, State
from imap.imap4.commands.names import mailbox_name
from imap.imap4.errors import INVALID, MISSING, Bad, No
from imap.imap4.flags import flag_set
from imap.imap4.sequence import SequenceSet
from imap.imap4.view import View
from imap.store import Expunged, NonExistent, NotSelectable, StoreMode

if TYPE_CHECKING:
    from imap.imap4.session import Session

_MODES: dict[str, StoreMode] = {"": "replace", "+": "add", "-": "remove"}


def selected(session: Session) -> View:
    """The view of a session in the selected state."""
    assert session.view is not None
    return session.view


class Store(Command):
    """STORE set [(UNCHANGEDSINCE n)] [+|-]FLAGS[.SILENT] flags."""

    name = "STORE"
    states = State.SELECTED
    takes_uid = True
    flush = Flush.NEWS

    def run(self, session: Session, arguments: Arguments) -> Reply:
        view = selected(session)
        numbers = list(view.numbers(arguments.atom(), uid=self.uid))
        unchanged_since = self._modifiers(session, view, arguments) if arguments.is_group() else None
        mode, silent = self._item(arguments.word())
        # What others changed comes with UIDs then too, as with Dovecot: the two are not told apart.
        self.news_with_uid = self.uid and (not silent or view.condstore)
        flags = flag_set(self._flags(arguments))
        view.mention(flags)
        if view.mailbox.examined:
            if unchanged_since is not None:
                raise No("CONDSTORE failed: Mailbox is read-only.")
            return Reply("Store ignored with read-only mailbox.")
        uids = [view.uids[number - 1] for number in numbers]
        known = view.mailbox.keywords
        result = view.mailbox.store(uids, mode, flags, unchanged_since)
        if view.mailbox.keywords != known:
            view.tell_keywords(session.write)
        changed = sorted(result.changed)
        view.touched(changed)
        if not silent:
            view.tell_flags(session.write, changed, uid=self.uid)
        elif view.condstore:
            self._tell_modseq(session, view, changed)
        if result.modified:
            modified = sequence.write(
                sorted(result.modified) if self.uid else sorted(filter(None, map(view.number, result.modified)))
            )
            return Reply("Conditional store failed.", f"MODIFIED {modified.decode()}")
        return Reply("Store completed.")

    @staticmethod
    def _modifiers(session: Session, view: View, arguments: Arguments) -> int | None:
        group = arguments.group()
        if not group.more():
            return None
        if group.word() != "UNCHANGEDSINCE":
            raise Bad("Unknown STORE modifier")
        value = group.number()
        group.end()
        enable_condstore(session, view)
        return value

    @staticmethod
    def _item(item: str) -> tuple[StoreMode, bool]:
        silent = item.endswith(".SILENT")
        sign, _, rest = item.removesuffix(".SILENT").rpartition("FLAGS")
        if rest or sign not in _MODES or not item.removesuffix(".SILENT").endswith("FLAGS"):
            raise Bad(INVALID)
        return _MODES[sign], silent

    @staticmethod
    def _flags(arguments: Arguments) -> list[Argument]:
        rest = arguments.rest()
        if rest and isinstance(rest[0], Group):
            return rest[0]
        return rest

    def _tell_modseq(self, session: Session, view: View, uids: list[int]) -> None:
        for uid in uids:
            message = view.mailbox.messages.get(uid)
            if message is not None:
                view.told_modseq(message.modseq)
                with_uid = b"UID %d " % uid if self.uid or view.qresync else b""
                number = view.number(uid)
                session.write(b"* %d FETCH (%bMODSEQ (%d))\r\n" % (number, with_uid, message.modseq))


def enable_condstore(session: Session, view: View) -> None:
    """The first command that uses mod-sequences turns them on (RFC 7162 section 3.1)."""
    if not view.condstore:
        view.condstore = True
        session.enabled.add("CONDSTORE")
        session.write(b"* OK [HIGHESTMODSEQ %d] Highest\r\n" % view.mailbox.highest_modseq)


class Copy(Command):
    """COPY set mailbox."""

    name = "COPY"
    states = State.SELECTED
    takes_uid = True
    flush = Flush.ALL

    def run(self, session: Session, arguments: Arguments) -> Reply:
        view = selected(session)
        text = arguments.atom()
        if not arguments.more():
            raise Bad(MISSING)
        destination = arguments.astring()
        uids = [view.uids[number - 1] for number in view.numbers(text, uid=self.uid)]
        name = mailbox_name(destination, session.utf8)
        try:
            return self._carry(session, view, uids, name)
        except Expunged as error:
            return Reply(error.text, error.code, status="NO")  # and its EXPUNGE is told with it
        except (NonExistent, NotSelectable) as error:
            raise No(error.text, "TRYCREATE") from error

    def _carry(self, session: Session, view: View, uids: list[int], name: str) -> Reply:
        if not uids:
            return Reply("No messages found.")
        copied = view.mailbox.copy(uids, name)
        return Reply("Copy completed.", _copyuid(copied.uidvalidity, copied.source, copied.destination))


def _copyuid(uidvalidity: int, source: tuple[int, ...], destination: tuple[int, ...]) -> str | None:
    if not destination:  # into a mailbox that may not be read
        return None
    return f"COPYUID {uidvalidity} {sequence.write(source).decode()} {sequence.write(destination).decode()}"


class Move(Copy):
    """MOVE set mailbox: COPYUID comes untagged, before the EXPUNGEs (RFC 6851 section 4.3)."""

    name = "MOVE"

    def _carry(self, session: Session, view: View, uids: list[int], name: str) -> Reply:
        if not uids:
            return Reply("No messages found.")
        if view.mailbox.examined:
            if session.store is not None and not session.store.exists(name):
                raise No(f"Mailbox doesn't exist: {name}", "TRYCREATE")
            raise No("Mailbox is read-only", "CANNOT")
        moved = view.mailbox.move(uids, name)
        code = _copyuid(moved.uidvalidity, moved.source, moved.destination)
        if code is not None:
            session.write(f"* OK [{code}] Moved UIDs.\r\n".encode())
        view.expunged(moved.source)
        return Reply("Move completed.")


def may_expunge(view: View, uids: Sequence[int] | None = None) -> bool:
    """Whether nothing stands in the way: nothing is \\Deleted (among ``uids``), or it may be expunged."""
    mailbox = view.mailbox
    if mailbox.read_only or "e" in mailbox.rights:
        return True
    among = mailbox.messages.values() if uids is None else map(mailbox.messages.get, uids)
    return not any(message is not None and "\\Deleted" in message.flags for message in among)


class Expunge(Command):
    """EXPUNGE, and UID EXPUNGE set (RFC 4315 section 2.1).

    The messages go when their numbers do: a FETCH that the client sent right behind still gets them.
    """

    name = "EXPUNGE"
    states = State.SELECTED
    takes_uid = True
    flush = Flush.ALL
    uids: list[int] | None = None

    def run(self, session: Session, arguments: Arguments) -> Reply:
        view = selected(session)
        if self.uid:
            if not arguments.more():
                raise Bad(MISSING)
            text = arguments.atom()
            if text == b"$":
                self.uids = list(view.saved)
            else:
                ranges = SequenceSet.parse(text, "Invalid UID messageset").uid_positions(view.uids)
                self.uids = [view.uids[number - 1] for each in ranges for number in each]
        if not may_expunge(view, self.uids):
            return Reply("Expunge ignored: Permission denied.")
        return Reply("Expunge completed.")

    def settle(self, view: View) -> None:
        if not view.mailbox.read_only and "e" in view.mailbox.rights:
            view.expunged(view.mailbox.expunge(self.uids))
