"""Which mailbox is selected: SELECT, EXAMINE, CLOSE, UNSELECT (RFC 3501 6.3.1, 6.3.2, 6.4.2; RFC 3691, RFC 7162)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from imap.imap4 import sequence
from imap.imap4.arguments import Arguments
from imap.imap4.commands.base import Command, Reply, State
from imap.imap4.commands.message import may_expunge
from imap.imap4.commands.names import mailbox_name, quoted_name, raw_name, wire_name
from imap.imap4.errors import INVALID, Bad, No
from imap.imap4.sequence import SequenceSet
from imap.imap4.syntax import string
from imap.imap4.view import View
from imap.store import NonExistent, NotSelectable

if TYPE_CHECKING:
    from imap.imap4.session import Session


class Select(Command):
    """SELECT mailbox [(CONDSTORE) | (QRESYNC (uidvalidity modseq [known-uids [match-data]]))]."""

    name = "SELECT"
    breaks_mailbox = True
    read_only: ClassVar[bool] = False

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if session.view is not None:  # left even if what comes fails (RFC 3501 section 6.3.1)
            session.deselect()
            session.write(b"* OK [CLOSED] Previous mailbox closed.\r\n")
        wire = arguments.astring()
        resync = self._parameters(session, arguments.group()) if arguments.is_group() else None
        name = mailbox_name(wire, session.utf8)
        assert session.store is not None
        try:
            mailbox = session.store.open(name, read_only=self.read_only)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text) from error
        try:
            mailbox.sync()
            view = View(
                mailbox,
                condstore="CONDSTORE" in session.enabled,
                qresync="QRESYNC" in session.enabled,
                extensions=session.settings.extensions,
                rev2=session.rev2,
            )
            self._announce(session, view)
            if session.rev2:
                self._tell_name(session, name, wire)
            if resync is not None:
                resync.tell(session, view)
        except BaseException:
            mailbox.close()
            raise
        session.select(view)
        code = "READ-ONLY" if mailbox.read_only else "READ-WRITE"
        return Reply(f"{self.name.capitalize()} completed.", code)

    @staticmethod
    def _tell_name(session: Session, name: str, wire: bytes) -> None:
        """IMAP4rev2: a LIST response tells the mailbox's true name (RFC 9051 section 6.3.2)."""
        assert session.store is not None
        true = "INBOX" if name.upper() == "INBOX" else name
        separator = string(session.store.namespace_of(name).separator.encode())
        old = b"" if raw_name(true, utf8=True) == wire else b' ("OLDNAME" (%b))' % quoted_name(wire)
        session.write(b"* LIST () %b %b%b\r\n" % (separator, wire_name(true, session.utf8), old))

    def _parameters(self, session: Session, parameters: Arguments) -> Resync | None:
        """Read the parameters (RFC 4466); enables what they ask for."""
        resync = None
        while parameters.more():
            word = parameters.word()
            if word == "CONDSTORE":
                session.enabled.add("CONDSTORE")
            elif word == "QRESYNC":
                if "QRESYNC" not in session.enabled:
                    raise Bad("QRESYNC not enabled.")
                resync = Resync(parameters.group())
            else:
                raise Bad("Unknown FETCH modifier")
        return resync

    def _announce(self, session: Session, view: View) -> None:
        mailbox = view.mailbox
        write = session.write
        view.tell_keywords(write)
        write(b"* %d EXISTS\r\n" % len(view))
        if not view.rev2:
            write(b"* %d RECENT\r\n" % view.recent)
        first_unseen = 0 if view.rev2 else view.number(mailbox.unseen()[1])
        if first_unseen:
            write(b"* OK [UNSEEN %d] First unseen.\r\n" % first_unseen)
        write(b"* OK [UIDVALIDITY %d] UIDs valid\r\n" % mailbox.uidvalidity)
        write(b"* OK [UIDNEXT %d] Predicted next UID\r\n" % mailbox.uidnext)
        if view.extensions:
            write(b"* OK [MAILBOXID (%b)] Ok\r\n" % mailbox.guid.encode())
        if view.condstore:
            write(b"* OK [HIGHESTMODSEQ %d] Highest\r\n" % mailbox.highest_modseq)


class Examine(Select):
    """EXAMINE: as SELECT, read-only."""

    name = "EXAMINE"
    read_only = True


class Resync:
    """The QRESYNC parameter of SELECT (RFC 7162 section 3.2.5)."""

    def __init__(self, arguments: Arguments) -> None:
        self.uidvalidity = arguments.number()
        self.modseq = arguments.number()
        self.known = SequenceSet.parse(arguments.atom()) if arguments.more() and not arguments.is_group() else None
        if arguments.more():
            # Sequence match data only narrow down what the client might already know; a server may ignore them.
            pair = arguments.group()
            SequenceSet.parse(pair.atom())
            SequenceSet.parse(pair.atom())
            pair.end()
        if arguments.more():
            raise Bad(INVALID)

    def tell(self, session: Session, view: View) -> None:
        """VANISHED (EARLIER) and the flags that changed, if the client's idea of the mailbox is not outdated."""
        mailbox = view.mailbox
        if mailbox.uidvalidity != self.uidvalidity:
            return
        gone = mailbox.vanished(self.modseq)
        if gone is None:
            gone = [uid for uid in range(1, mailbox.uidnext) if uid not in mailbox.messages]
        changed = mailbox.changed_since(self.modseq)
        if self.known is not None:  # only these are reported, whatever came or went
            gone = [uid for uid in gone if _contains(self.known, uid, mailbox.uidnext)]
            changed = [uid for uid in changed if _contains(self.known, uid, mailbox.uidnext)]
        if gone:
            session.write(b"* VANISHED (EARLIER) " + sequence.write(gone) + b"\r\n")
        view.tell_flags(session.write, changed, uid=True)


def _contains(known: SequenceSet, uid: int, star: int) -> bool:
    return any(first <= uid <= last for first, last in known.resolved(star))


class Close(Command):
    """CLOSE: expunges silently, unless the mailbox is read-only."""

    name = "CLOSE"
    states = State.SELECTED
    breaks_mailbox = True

    def run(self, session: Session, arguments: Arguments) -> Reply:
        view = session.view
        assert view is not None
        allowed = may_expunge(view)
        if not view.mailbox.read_only and "e" in view.mailbox.rights:
            view.mailbox.expunge()
        session.deselect()
        return Reply("Close completed." if allowed else "Closed without expunging: Permission denied.")


class Unselect(Command):
    """UNSELECT (RFC 3691): as CLOSE, expunging nothing."""

    name = "UNSELECT"
    states = State.SELECTED
    breaks_mailbox = True

    def run(self, session: Session, arguments: Arguments) -> Reply:
        session.deselect()
        return Reply("Unselect completed.")
