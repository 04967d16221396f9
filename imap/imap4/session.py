"""One IMAP session: which commands it takes in which state, and how each is answered."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from imap import session
from imap.imap4 import arguments
from imap.imap4.answers import Answer, Answers
from imap.imap4.arguments import Arguments
from imap.imap4.capability import after_login, before_login
from imap.imap4.commands import COMMANDS
from imap.imap4.commands.base import Command, Flush, Reply, State
from imap.imap4.errors import Bad, NotSelected, ParseError, ReplyError, TooBig
from imap.imap4.notify import Notify, describe_new
from imap.imap4.reader import MAX_LITERALS, CommandReader, Continue, Refused, Sink, close_sinks
from imap.imap4.reader import Command as CommandRead
from imap.imap4.settings import Settings
from imap.imap4.view import View
from imap.imap4.watching import Watcher
from imap.login import Login
from imap.session import LOGIN_TIMEOUT, Disconnect, Wire
from imap.store import MailboxDeleted, StoreError, UserStore

# Before log-in no honest command comes near it; a longer one ends the connection.
MAX_LINE_BEFORE_LOGIN = 4096
# ID is the exception: it may have 30 fields of 30 and 1024 octets (RFC 2971 section 3.3), all of them quoted.
MAX_ID = 40 << 10
# The literals of one command before log-in: a user's name and a password. Everybody can make the server hold these.
MAX_LITERALS_BEFORE_LOGIN = 8192
# Seconds without a command after log-in (RFC 3501 section 5.4 asks for at least 30 minutes).
IDLE_TIMEOUT = 1800.0

_TAG = re.compile(rb"[!#$&',-\[\]-z|}~]+")  # RFC 3501 section 9, as Dovecot reads it
_BY_NAME = {name.encode(): kind for name, kind in COMMANDS.items()}


class Session(session.Session):
    """The state of one connection."""

    def __init__(self, wire: Wire, login: Login, settings: Settings) -> None:
        super().__init__(wire, login, logging.getLogger("dovecot.imap"))
        self.settings = settings
        self.state = State.NOT_AUTHENTICATED
        self.reader = CommandReader(MAX_LINE_BEFORE_LOGIN, self._admit, MAX_LITERALS_BEFORE_LOGIN, MAX_ID)
        self.store: UserStore | None = None
        self.view: View | None = None
        self.watcher: Watcher | None = None  # the NOTIFY in force
        self.enabled: set[str] = set()
        self.asked_capability = False
        self.compressed = False
        self.answers = Answers(self)
        self._judging: asyncio.Task[None] | None = None

    # Reading

    def greet(self) -> None:
        """Say ``* OK`` with the capabilities."""
        self.wire.set_timeout(LOGIN_TIMEOUT)
        self.write(f"* OK [CAPABILITY {self.capabilities()}] {self.login.greeting}\r\n".encode())
        self.flush()

    def _feed(self, data: bytes) -> None:
        self.reader.feed(data)

    def _discard_input(self) -> int:
        return self.reader.clear()

    @property
    def buffered(self) -> int:
        """Octets read that no command has taken yet."""
        return self.reader.buffered

    def _take_line(self) -> bytes | None:
        try:
            return self.reader.take_line()
        except ParseError as error:
            raise Disconnect(error.text) from error

    def _step(self) -> bool:
        event = self.reader.next()
        if event is None:
            return False
        if isinstance(event, Continue):
            self.write(b"+ OK\r\n")
            self.flush()
        elif isinstance(event, Refused):
            if event.fatal or (not self.logged_in and isinstance(event.error, ParseError)):
                raise Disconnect(event.error.text)
            tag, name = _names(event.start)
            self.answers.fail(tag if _is_tag(tag) else b"", name, event.error, time.monotonic())
        else:
            self._command(event)
        return True

    def _admit(self, pieces: Sequence[bytes], size: int, binary: bool) -> Sink | None:
        """Judge a literal before a single octet of it is taken."""
        tag, _ = _names(pieces[0])
        command, offset = self._lookup(tag, pieces[0])
        limit = command.literal_limit(self, pieces, offset) or self.reader.max_line
        if size > limit:
            raise command.too_big() if limit > self.reader.max_line else TooBig("Literal size too large")
        return None if binary else command.spool(self, size)

    # Commands

    def _lookup(self, tag: bytes, line: bytes) -> tuple[Command, int]:
        """The command of a line and the offset of its arguments. Raises Bad."""
        name, end = _word(line, len(tag) + 1)
        uid = name == b"UID"
        if uid:
            name, end = _word(line, end + 1)
        kind = _BY_NAME.get(name)
        if kind is None:
            raise Bad("Unknown command" if name and name.isascii() else "Invalid command name")
        if not (kind.takes_uid if uid else not kind.only_uid):
            raise Bad("Unknown command")
        if self.state not in kind.states:
            raise NotSelected() if self.logged_in and kind.states == State.SELECTED else Bad("Unknown command")
        return kind(tag, uid=uid), end

    @property
    def utf8(self) -> bool:
        """Whether mailbox names go over the wire in UTF-8 (UTF8=ACCEPT, or IMAP4rev2 that implies it for names)."""
        return not self.enabled.isdisjoint(("UTF8=ACCEPT", "IMAP4REV2"))

    @property
    def rev2(self) -> bool:
        """Whether the client speaks IMAP4rev2 (RFC 9051)."""
        return "IMAP4REV2" in self.enabled

    @property
    def logged_in(self) -> bool:
        """Whether the session has a user."""
        return self.state != State.NOT_AUTHENTICATED

    def _command(self, read: CommandRead) -> None:
        """Run one command, at once or as a task."""
        started = time.monotonic()
        first = read.pieces[0]
        tag = first.partition(b" ")[0]
        if _TAG.fullmatch(tag) is None:
            self.answers.fail(b"", "", Bad("Invalid command name"), started)
            return
        try:
            command, offset = self._lookup(tag, first)
            if command.breaks_mailbox or self.answers.full:
                self.answers.settle()
            result = command.run(self, Arguments(arguments.parse(read.pieces, offset)))
        except (ReplyError, StoreError) as error:
            close_sinks(read.pieces)
            self.answers.fail(tag, _names(first)[1], error, started)
            return
        if isinstance(result, Reply):
            self._finish(command, result, started)
        else:
            self.run(self._await(command, read, result, started))

    async def _await(
        self, command: Command, read: CommandRead, result: Coroutine[Any, Any, Reply], started: float
    ) -> None:
        try:
            reply = await result
        except (ReplyError, StoreError) as error:
            self.answers.fail(command.tag, _names(read.pieces[0])[1], error, started)
        else:
            self._finish(command, reply, started)
        finally:
            close_sinks(read.pieces)

    def _finish(self, command: Command, reply: Reply, started: float) -> None:
        """Answer a command at once, or when the mailbox is brought up to date if it brings news with it."""
        if self.closed:
            return
        news = command.news
        if self.view is not None and news is not Flush.NOTHING:
            self.answers.later(Answer(command, news, reply, started))
        elif reply.start_tls:
            self.start_tls(command.tag + f" OK {reply.text}\r\n".encode())
        elif reply.compress:
            self.answers.tell(command.tag, reply.status, reply.text, reply.code, started)
            self._start_compression()
        else:
            self.answers.tell(command.tag, reply.status, reply.text, reply.code, started)
            if reply.close:
                self.end("Logged out")
            elif reply.bye:
                raise Disconnect(reply.bye)

    def _start_compression(self) -> None:
        """What follows is deflated; a client that did not wait for the answer cannot be understood."""
        self.flush()
        if self._discard_input():
            raise Disconnect("Data behind the request for compression.")
        self.compressed = True
        self.wire.start_compression()

    def _caught_up(self) -> None:
        self.answers.settle()

    def tell_news(self, view: View, *, expunges: bool = True, uid: bool = False) -> None:
        """Tell what happened to the selected mailbox. Raises Disconnect when it is no longer there."""
        watcher = self.watcher
        if watcher is not None and not watcher.tells_selected:
            if expunges:
                view.tell_expunges(self.write)  # what the session expunged itself
            return
        try:
            appended = view.sync(self.write, expunges=expunges, uid=uid)
        except MailboxDeleted as error:
            raise Disconnect(error.text) from error
        if watcher is not None and watcher.notify.selected is not None and appended:
            self.write(describe_new(view, watcher.notify.selected, appended))
        if view.updates.unjudged and self._judging is None:
            self._judging = asyncio.get_running_loop().create_task(self._judge(view))

    async def _judge(self, view: View) -> None:
        """Look at what a search that is kept up to date put off; tell it now, or with the next news."""
        try:
            while view.updates.unjudged:
                await view.updates.judge()
        except Exception:
            self.log.exception("%s: search update", self.login.who())
        finally:
            self._judging = None
        if self.between_commands:
            self.guard(lambda: view.updates.tell(self.write))

    # Life

    def capabilities(self) -> str:
        """The capability list for the state that the session is in."""
        if self.logged_in:
            return after_login(self.settings, self.store)
        return before_login(self.login, extensions=self.settings.extensions)

    def tell_capability(self) -> None:
        """``* CAPABILITY``."""
        self.write(f"* CAPABILITY {self.capabilities()}\r\n".encode())

    def logged_in_as(self, store: UserStore) -> None:
        """The user is known: the limits before log-in fall."""
        self.store = store
        self.state = State.AUTHENTICATED
        self.reader.max_line = self.settings.max_line
        self.reader.max_literals = MAX_LITERALS
        self.wire.set_timeout(IDLE_TIMEOUT)
        self.answers.forgive()

    def select(self, view: View) -> None:
        """Enter the selected state."""
        self.view = view
        self.state = State.SELECTED
        if self.watcher is not None:
            self.watcher.follow(view)

    def deselect(self) -> None:
        """Leave the selected state, expunging nothing."""
        if self.view is not None:
            if self.watcher is not None:
                self.watcher.unfollow()
            if self._judging is not None:
                self._judging.cancel()
                self._judging = None
            self.view.mailbox.close()
            self.view = None
            self.state = State.AUTHENTICATED

    def bye(self, text: str) -> None:
        """Say BYE and close."""
        if not self.closed:
            self.write(f"* BYE {text}\r\n".encode())
            self.end(text)

    def notify(self, wanted: Notify | None) -> None:
        """NOTIFY: from now on tell this, and nothing of an earlier one."""
        if self.watcher is not None:
            self.watcher.close()
            self.watcher = None
        if wanted is not None and self.store is not None:
            self.watcher = Watcher(self, self.store, wanted)

    @property
    def between_commands(self) -> bool:
        """Whether news may be told now: no command is being answered, or it is IDLE."""
        return not self.busy or self.waits_for_line

    def _release(self) -> None:
        self.reader.clear()
        self.notify(None)
        self.deselect()
        if self.store is not None:
            self.store.close()
            self.store = None


def _is_tag(tag: bytes) -> bool:
    return _TAG.fullmatch(tag) is not None


def _word(line: bytes, start: int) -> tuple[bytes, int]:
    """The word at ``start`` in upper case, and where it ends."""
    end = line.find(b" ", start)
    end = len(line) if end < 0 else end
    return line[start:end].upper(), end


def _names(line: bytes) -> tuple[bytes, str]:
    """Tag and command name (with its UID) as they are quoted in an error."""
    tag, _, rest = line.partition(b" ")
    name, _, rest = rest.partition(b" ")
    if name.upper() == b"UID":
        name += b" " + rest.partition(b" ")[0]
    return tag, name[:64].upper().decode("ascii", "replace")
