"""One POP3 session: which commands it takes in which state, and how each is answered."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imap import session
from imap.login import Login
from imap.pop3.commands import COMMANDS, State
from imap.pop3.errors import Error
from imap.pop3.maildrop import Maildrop
from imap.pop3.reader import LineReader, LineTooLong
from imap.session import LOGIN_TIMEOUT, Disconnect, Wire
from imap.store import StoreError, UserStore

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

# After so many bad commands in a row the next one ends the connection, whatever it is; after log-in, one more bad one.
MAX_BAD_BEFORE_LOGIN = 3
MAX_BAD = 20
# Seconds without a command after log-in (RFC 1939 section 3 asks for at least 10 minutes).
IDLE_TIMEOUT = 600.0
# Octets of a message handed to the transport in one piece.
PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about POP3 sessions."""

    uidl_format: str = "%08Xu%08Xv"
    no_flag_updates: bool = False
    enable_last: bool = False

    @classmethod
    def from_config(cls, config: DovecotConfig) -> Settings:
        """Read them, ``protocol pop3 {}`` respected."""
        view = config.protocol("pop3")
        return cls(
            uidl_format=view.str("pop3_uidl_format"),
            no_flag_updates=view.bool("pop3_no_flag_updates"),
            enable_last=view.bool("pop3_enable_last"),
        )


class Session(session.Session):
    """The state of one connection."""

    def __init__(self, wire: Wire, login: Login, settings: Settings) -> None:
        super().__init__(wire, login, logging.getLogger("dovecot.pop3"))
        self.settings = settings
        self.state = State.AUTHORIZATION
        self.reader = LineReader()
        self.user: bytes | None = None
        self.apop = False
        self.store: UserStore | None = None
        self.drop: Maildrop | None = None
        self._bad = 0

    # Reading

    def greet(self) -> None:
        """Say ``+OK``."""
        self.wire.set_timeout(LOGIN_TIMEOUT)
        challenge = self.login.apop_challenge()
        self.apop = bool(challenge)
        self.ok(f"{self.login.greeting} {challenge}" if challenge else self.login.greeting)
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
            return self.reader.next()
        except LineTooLong:
            raise Disconnect("Input line too long.") from None

    def _step(self) -> bool:
        line = self._take_line()
        if line is None:
            return False
        self._command(line)
        return True

    # Commands

    def _command(self, line: bytes) -> None:
        # As Dovecot: a NUL ends the line, spaces may stand before an argument but not behind it.
        name, _, argument = line.partition(b"\0")[0].partition(b" ")
        if self.drop is None and self._bad >= MAX_BAD_BEFORE_LOGIN:
            raise Disconnect("Too many invalid bad commands.")
        kind = COMMANDS.get(name.upper())
        if kind is None or self.state not in kind.states:
            shown = f": {name[:32].upper().decode('ascii', 'replace')}" if self.drop is not None else "."
            self._fail(Error(f"Unknown command{shown}"), bad=True)
            return
        if self.drop is None:
            self._bad = 0
        try:
            result = kind().run(self, argument if kind.keeps_spaces else argument.lstrip(b" "))
        except (Error, StoreError) as error:
            self._fail(error)
            return
        if result is not None:
            self.run(self._await(result))

    async def _await(self, result: Coroutine[Any, Any, None]) -> None:
        try:
            await result
        except (Error, StoreError) as error:
            self._fail(error)

    def _fail(self, error: Error | StoreError, *, bad: bool = False) -> None:
        if isinstance(error, StoreError):
            if error.reason:
                self.log.error("%s: %s", self.login.who(), error.reason)
            error = Error(error.text, "SYS/TEMP")
        code = f"[{error.code}] " if error.code else ""
        self.write(f"-ERR {code}{error.text}\r\n".encode("utf-8", "surrogateescape"))
        self._bad += bad
        if bad and self.drop is not None and self._bad > MAX_BAD:
            raise Disconnect("Too many bad commands.")

    # Answers

    def ok(self, text: str = "") -> None:
        """Write ``+OK text``."""
        self._bad = 0
        self.write(f"+OK {text}\r\n".encode() if text else b"+OK\r\n")

    async def write_multiline(self, data: bytes) -> None:
        """Write a message, dot-stuffed as a whole (RFC 1939 section 3), in pieces that wait for a slow peer."""
        stuffed = data.replace(b"\n.", b"\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        end = b".\r\n" if not stuffed or stuffed.endswith(b"\n") else b"\r\n.\r\n"
        for start in range(0, len(stuffed), PIECE):
            self.write(stuffed[start : start + PIECE])
            if self.out_of_breath():
                await self.breathe()
        self.write(end)

    # Life

    def open(self, store: UserStore) -> None:
        """The user is known: open the maildrop. Raises StoreError."""
        if self.closed:
            store.close()
            raise Disconnect("")
        self.store = store
        mailbox = store.open("INBOX")
        mailbox.sync()
        self.drop = Maildrop(mailbox, self.settings.uidl_format)
        self.state = State.TRANSACTION
        self.wire.set_timeout(IDLE_TIMEOUT)
        self._bad = 0

    def bye(self, text: str) -> None:
        """Say why, and close."""
        if not self.closed:
            self.write(f"-ERR {text}\r\n".encode())
            self.end(text)

    def _release(self) -> None:
        """Let go of the maildrop, deleting nothing."""
        if self.drop is not None:
            if self.settings.no_flag_updates:
                self.drop.mailbox.close()
            else:
                self.drop.close()
            self.drop = None
        if self.store is not None:
            self.store.close()
            self.store = None
