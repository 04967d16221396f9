"""APPEND (RFC 3501 section 6.3.11), several messages at once (MULTIAPPEND, RFC 3502), CATENATE; REPLACE (RFC 8508)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imap.imap4 import arguments as syntax
from imap.imap4 import sequence
from imap.imap4.arguments import Arguments, Atom, Group, Quoted
from imap.imap4.capability import MAX_MESSAGE
from imap.imap4.catenate import assemble
from imap.imap4.commands.base import Command, Flush, Reply, Result, State
from imap.imap4.commands.message import selected
from imap.imap4.commands.names import mailbox_name
from imap.imap4.dates import read_date_time
from imap.imap4.errors import INVALID, Bad, No, ReplyError
from imap.imap4.flags import flag_set
from imap.imap4.reader import Literal, Spooled
from imap.mime.binary import without_binary
from imap.store import AppendResult, Incoming, NewMail, NonExistent, NotSelectable

if TYPE_CHECKING:
    from imap.imap4.session import Session


# A message bigger than this is written into the mailbox's tmp/ while it comes.
SPOOLED = 128 << 10
# What CATENATE makes and what is sent as a literal8 is put together in memory.
MAX_ASSEMBLED = 64 << 20

_TEXT = re.compile(rb"[ (]TEXT \Z", re.IGNORECASE)


class Append(Command):
    """APPEND mailbox [(flags)] [date-time] literal|CATENATE (parts)|UTF8 (literal8) ..."""

    name = "APPEND"
    flush = Flush.ALL
    breaks_mailbox = True
    _target = ""  # the mailbox, while its literals come
    _whole = False  # whether the literal is a message, not a part of one

    def literal_limit(self, session: Session, pieces: Sequence[bytes], offset: int) -> int:
        rest = Arguments(syntax.parse(pieces[:1], offset, whole=False))
        self._skip(rest)
        named = rest.more()
        if not named and len(pieces) == 1:
            return 0  # the name of the mailbox itself
        self._target = self._destination(session, rest.astring() if named else pieces[1])
        if not named and len(pieces) == 3:
            rest = Arguments(syntax.parse(pieces[2:], 0, whole=False))
        if rest.more() or not named:
            self._options(rest)
            if rest.more() and rest.word() not in ("CATENATE", "UTF8"):
                raise Bad(INVALID)
        self._whole = not _TEXT.search(pieces[-1])
        return MAX_MESSAGE if self._whole else MAX_ASSEMBLED

    def spool(self, session: Session, size: int) -> Incoming | None:
        if size <= SPOOLED or not self._whole:
            return None
        assert session.store is not None
        session.store.admit(self._target, size, 1)
        return session.store.spool(self._target)

    def too_big(self) -> ReplyError:
        return No("Message is too big.", "TOOBIG")

    def _skip(self, before: Arguments) -> None:
        """Pass over what stands before the name of the mailbox."""

    def run(self, session: Session, arguments: Arguments) -> Result:
        mails = self._read(session, arguments)
        spooled = [mail.data for mail in mails if isinstance(mail.data, Incoming)]
        return self._save_spooled(session, mails, spooled) if spooled else self._save(session, mails)

    def _read(self, session: Session, arguments: Arguments) -> list[NewMail]:
        self._target = self._destination(session, arguments.astring())
        mails: list[NewMail] = []
        while arguments.more() or not mails:
            flags, date = self._options(arguments)
            if not arguments.more():
                raise Bad("Missing message size")
            mail = NewMail(self._message(session, arguments), flags, date)
            if not mail.size:
                raise No("Can't save a zero byte message")
            mails.append(mail)
        return mails

    async def _save_spooled(self, session: Session, mails: list[NewMail], spooled: list[Incoming]) -> Reply:
        """As `_save`, once what lies in tmp/ is durable: a big mail takes the disk a while."""
        for each in spooled:
            await asyncio.to_thread(each.sync)
        return self._save(session, mails)

    def _save(self, session: Session, mails: list[NewMail]) -> Reply:
        return Reply("Append completed.", _appenduid(self._append(session, mails)))

    def _append(self, session: Session, mails: list[NewMail]) -> AppendResult:
        assert session.store is not None
        try:
            return session.store.append(self._target, mails)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text, "TRYCREATE") from error

    @staticmethod
    def _message(session: Session, arguments: Arguments) -> bytes | Incoming:
        """One message: a literal, wherever it is, or what CATENATE puts together."""
        data = arguments.take()
        if isinstance(data, Spooled) and isinstance(data.sink, Incoming):
            return data.sink
        if isinstance(data, Literal):
            return without_binary(data) if data.binary else bytes(data)
        if isinstance(data, Atom) and data.upper() == b"CATENATE" and arguments.is_group():
            return assemble(session, arguments.group(), MAX_ASSEMBLED)
        if isinstance(data, Atom) and data.upper() == b"UTF8" and arguments.is_group() and session.utf8:
            inside = arguments.group()
            data = inside.take()
            inside.end()
            if isinstance(data, Literal) and data.binary:
                return bytes(data)
        raise Bad(INVALID)

    @staticmethod
    def _destination(session: Session, wire: bytes) -> str:
        assert session.store is not None
        name = mailbox_name(wire, session.utf8)
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
            try:
                date = read_date_time(item)
            except ValueError:
                raise Bad("Invalid internal date.") from None
            arguments.take()
        return flags, date


def _appenduid(result: AppendResult) -> str | None:
    if not result.uids:  # into a mailbox that may not be read
        return None
    return f"APPENDUID {result.uidvalidity} {sequence.write(result.uids).decode()}"


class Replace(Append):
    """REPLACE number mailbox [(flags)] [date-time] literal: APPEND, and the old message goes (RFC 8508).

    Both happen or none: see imap.store.replacing.
    """

    name = "REPLACE"
    states = State.SELECTED
    takes_uid = True
    _replaced = 0  # UID of the message that goes

    def literal_limit(self, session: Session, pieces: Sequence[bytes], offset: int) -> int:
        _require_extensions(session)
        return super().literal_limit(session, pieces, offset)

    def _skip(self, before: Arguments) -> None:
        before.atom()

    def _read(self, session: Session, arguments: Arguments) -> list[NewMail]:
        _require_extensions(session)
        view = selected(session)
        numbers = list(view.numbers(arguments.atom(), uid=self.uid))
        if len(numbers) != 1:
            raise Bad("REPLACE takes one message.")
        if view.mailbox.read_only:
            raise No("Mailbox is read-only", "READ-ONLY")
        self._replaced = view.uids[numbers[0] - 1]
        mails = super()._read(session, arguments)
        if len(mails) != 1:
            raise Bad("REPLACE takes one message.")
        return mails

    def _save(self, session: Session, mails: list[NewMail]) -> Reply:
        view = selected(session)
        (mail,) = mails
        try:
            result = view.mailbox.replace(self._replaced, self._target, mail)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text, "TRYCREATE") from error
        if (code := _appenduid(result)) is not None:
            session.write(f"* OK [{code}] Replacement message ready\r\n".encode())
        view.expunged((self._replaced,))
        return Reply("Replace completed.")


def _require_extensions(session: Session) -> None:
    if not session.settings.extensions:
        raise Bad("Unknown command")
