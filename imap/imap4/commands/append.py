"""APPEND (RFC 3501 section 6.3.11), several messages at once (MULTIAPPEND, RFC 3502), CATENATE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imap.imap4 import arguments as syntax
from imap.imap4 import sequence
from imap.imap4.arguments import Arguments, Atom, Group, Quoted
from imap.imap4.catenate import assemble
from imap.imap4.commands.base import Command, Flush, Reply
from imap.imap4.commands.flags import flag_set
from imap.imap4.commands.names import mailbox_name
from imap.imap4.dates import read_date_time
from imap.imap4.errors import INVALID, Bad, No
from imap.imap4.reader import Literal
from imap.mime.binary import without_binary
from imap.store import NewMail, NonExistent, NotSelectable

if TYPE_CHECKING:
    from imap.imap4.session import Session

# One message; bounds what a client can make the server hold.
MAX_MESSAGE = 64 << 20


class Append(Command):
    """APPEND mailbox [(flags)] [date-time] literal|CATENATE (parts) ..."""

    name = "APPEND"
    flush = Flush.ALL
    breaks_mailbox = True

    def literal_limit(self, session: Session, pieces: Sequence[bytes], offset: int) -> int:
        before = Arguments(syntax.parse(pieces[:1], offset, whole=False))
        if not before.more():
            return 0  # the name of the mailbox itself
        if len(pieces) == 1:
            self._destination(session, before.astring())
            self._options(before)
            if before.more() and before.word() != "CATENATE":
                raise Bad(INVALID)
        return MAX_MESSAGE

    def run(self, session: Session, arguments: Arguments) -> Reply:
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
            result = session.store.append(name, mails)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text, "TRYCREATE") from error
        return Reply("Append completed.", f"APPENDUID {result.uidvalidity} {sequence.write(result.uids).decode()}")

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
