"""APPEND (RFC 3501 section 6.3.11), several messages at once (MULTIAPPEND, RFC 3502), CATENATE; REPLACE (RFC 8508)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imap.imap4 import arguments as syntax
from imap.imap4 import sequence
from imap.imap4.arguments import Arguments, Atom, Group, Quoted
from imap.imap4.capability import MAX_MESSAGE
from imap.imap4.catenate import assemble
from imap.imap4.commands.base import Command, Flush, Reply, State
from imap.imap4.commands.flags import flag_set
from imap.imap4.commands.message import selected
from imap.imap4.commands.names import mailbox_name
from imap.imap4.dates import read_date_time
from imap.imap4.errors import INVALID, Bad, No, ReplyError
from imap.imap4.reader import Literal
from imap.mime.binary import without_binary
from imap.store import AppendResult, NewMail, NonExistent, NotSelectable

if TYPE_CHECKING:
    from imap.imap4.session import Session


class Append(Command):
    """APPEND mailbox [(flags)] [date-time] literal|CATENATE (parts) ..."""

    name = "APPEND"
    flush = Flush.ALL
    breaks_mailbox = True

    def literal_limit(self, session: Session, pieces: Sequence[bytes], offset: int) -> int:
        before = Arguments(syntax.parse(pieces[:1], offset, whole=False))
        self._skip(before)
        if not before.more():
            return 0  # the name of the mailbox itself
        if len(pieces) == 1:
            self._destination(session, before.astring())
            self._options(before)
            if before.more() and before.word() != "CATENATE":
                raise Bad(INVALID)
        return MAX_MESSAGE

    def too_big(self) -> ReplyError:
        return No("Message is too big.", "TOOBIG")

    def _skip(self, before: Arguments) -> None:
        """Pass over what stands before the name of the mailbox."""

    def run(self, session: Session, arguments: Arguments) -> Reply:
        result = self._append(session, arguments)
        return Reply("Append completed.", _appenduid(result))

    def _append(self, session: Session, arguments: Arguments) -> AppendResult:
        assert session.store is not None
        name = self._destination(session, arguments.astring())
        mails: list[NewMail] = []
        while arguments.more() or not mails:
            flags, date = self._options(arguments)
            if not arguments.more():
                raise Bad("Missing message size")
            data = self._message(session, arguments)
            if not data:
                raise No("Can't save a zero byte message")
            mails.append(NewMail(data, flags, date))
        try:
            return session.store.append(name, mails)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text, "TRYCREATE") from error

    @staticmethod
    def _message(session: Session, arguments: Arguments) -> bytes:
        """The octets of one message: a literal, or what CATENATE puts together."""
        data = arguments.take()
        if isinstance(data, Literal):
            return without_binary(data) if data.binary else bytes(data)
        if isinstance(data, Atom) and data.upper() == b"CATENATE" and arguments.is_group():
            return assemble(session, arguments.group(), MAX_MESSAGE)
        raise Bad(INVALID)

    @staticmethod
    def _destination(session: Session, wire: bytes) -> str:
        assert session.store is not None
        name = mailbox_name(wire)
        session.store.validate(name)
        if not session.store.exists(name):
            raise No(f"Mailbox doesn't exist: {name}", "TRYCREATE")
        return name

    @staticmethod
    def _options(arguments: Arguments) -> tuple[tuple[str, ...], float | None]:
        """Flags and date, where they stand before the message."""
        flags: tuple[str, ...] = ()
        date: float | None = None
        item = arguments.peek()
        if isinstance(item, Group):
            flags = flag_set(item)
            arguments.take()
            item = arguments.peek()
        if isinstance(item, Quoted):
            date = read_date_time(item)
            if date is None:
                raise Bad("Invalid internal date.")
            arguments.take()
        return flags, date


def _appenduid(result: AppendResult) -> str:
    return f"APPENDUID {result.uidvalidity} {sequence.write(result.uids).decode()}"


class Replace(Append):
    """REPLACE number mailbox [(flags)] [date-time] literal: APPEND, and the old message goes (RFC 8508).

    The new message is durable before the old one is touched: a crash between leaves both, never none.
    """

    name = "REPLACE"
    states = State.SELECTED
    takes_uid = True

    def literal_limit(self, session: Session, pieces: Sequence[bytes], offset: int) -> int:
        _require_extensions(session)
        return super().literal_limit(session, pieces, offset)

    def _skip(self, before: Arguments) -> None:
        before.atom()

    def run(self, session: Session, arguments: Arguments) -> Reply:
        _require_extensions(session)
        view = selected(session)
        numbers = list(view.numbers(arguments.atom(), uid=self.uid))
        if len(numbers) != 1:
            raise Bad("REPLACE takes one message.")
        if view.mailbox.read_only:
            raise No("Mailbox is read-only", "READ-ONLY")
        uid = view.uids[numbers[0] - 1]
        result = self._append(session, arguments)
        session.write(f"* OK [{_appenduid(result)}] Replacement message ready\r\n".encode())
        view.mailbox.store([uid], "add", ["\\Deleted"])
        view.expunged(view.mailbox.expunge([uid]))
        return Reply("Replace completed.")


def _require_extensions(session: Session) -> None:
    if not session.settings.extensions:
        raise Bad("Unknown command")
