"""One POP3 session: takes octets, runs commands one after the other, writes replies in batches. Owns no socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from imap.login import Login
from imap.pop3.commands import COMMANDS, State
from imap.pop3.errors import Disconnect, Error
from imap.pop3.maildrop import Maildrop
from imap.pop3.reader import LineReader, LineTooLong
from imap.store import StoreError, UserStore

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

log = logging.getLogger("dovecot.pop3")

# This many bad commands end the connection, before log-in and after.
MAX_BAD_BEFORE_LOGIN = 10
MAX_BAD = 20
# Seconds without a command: before log-in, and after (RFC 1939 section 3 asks for at least 10 minutes).
LOGIN_TIMEOUT = 180.0
IDLE_TIMEOUT = 600.0
# Octets of a message handed to the transport in one piece.
PIECE = 64 << 10
BATCH = 32 << 10


class Wire(Protocol):
    """What a session needs of its connection."""

    local: tuple[str, int]
    remote: tuple[str, int]

    def write(self, data: bytes) -> None: ...
    def start_tls(self, go_ahead: bytes) -> None: ...
    def close(self) -> None: ...
    def set_timeout(self, seconds: float) -> None: ...
    def writable(self) -> asyncio.Future[None] | None: ...


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


class Session:
    """The state of one connection. ``receive`` and ``lost`` are called by the transport's shell."""

    def __init__(self, wire: Wire, login: Login, settings: Settings) -> None:
        self.wire = wire
        self.login = login
        self.settings = settings
        self.state = State.AUTHORIZATION
        self.reader = LineReader()
        self.user: bytes | None = None
        self.store: UserStore | None = None
        self.drop: Maildrop | None = None
        self.closed = False
        self._out: list[bytes] = []
        self._out_size = 0
        self._bad = 0
        self._task: asyncio.Task[None] | None = None
        self._line: asyncio.Future[bytes] | None = None
        self._receiving = False

    # In

    def greet(self) -> None:
        """Say ``+OK``."""
        self.wire.set_timeout(LOGIN_TIMEOUT)
        self.ok(self.login.greeting)
        self.flush()

    def receive(self, data: bytes) -> None:
        """Octets from the peer."""
        if not self.closed:
            self.reader.feed(data)
            self.proceed()

    def proceed(self) -> None:
        """Run what has been read, until a command waits for something."""
        if self._receiving:
            return
        self._receiving = True
        try:
            while not self.closed and self._step():
                pass
        except Disconnect as bye:
            self.bye(bye.text)
        except Exception:
            self._internal_error()
        finally:
            self._receiving = False
        self.flush()

    def _internal_error(self) -> None:
        """A fault of ours: the log gets all of it, the peer a word."""
        log.exception("%s: internal error", self.login.who())
        self.bye("Internal error occurred. Refer to server log for more information.")

    def _step(self) -> bool:
        """Handle one line; False when more octets, or the end of the running command, must come first."""
        if self._task is not None and (self._line is None or self._line.done()):
            return False
        try:
            line = self.reader.next()
        except LineTooLong:
            raise Disconnect("Input line too long.") from None
        if line is None:
            return False
        if self._line is not None:
            waiting, self._line = self._line, None
            waiting.set_result(line)
            return False
        self._command(line)
        return True

    def read_line(self) -> asyncio.Future[bytes]:
        """The next line from the peer, as an answer to a SASL challenge."""
        loop = asyncio.get_running_loop()
        self._line = loop.create_future()
        loop.call_soon(self.proceed)
        return self._line

    def _command(self, line: bytes) -> None:
        name, _, argument = line.partition(b" ")
        kind = COMMANDS.get(name.upper())
        if kind is None or self.state not in kind.states:
            shown = f": {name[:32].upper().decode('ascii', 'replace')}" if self.drop is not None else "."
            self._fail(Error(f"Unknown command{shown}"), bad=True)
            return
        try:
            result = kind().run(self, argument if name.upper() == b"PASS" else argument.strip())
        except (Error, StoreError) as error:
            self._fail(error)
            return
        if result is not None:
            self._task = asyncio.get_running_loop().create_task(self._await(result))

    async def _await(self, result: Coroutine[Any, Any, None]) -> None:
        """See a command through that had to wait."""
        try:
            try:
                await result
            except (Error, StoreError) as error:
                self._fail(error)
        except Disconnect as bye:
            self.bye(bye.text)
        except asyncio.CancelledError:
            raise
        except Exception:
            self._internal_error()
        finally:
            self._task = None
        self.proceed()

    def _fail(self, error: Error | StoreError, *, bad: bool = False) -> None:
        if isinstance(error, StoreError):
            if error.reason:
                log.error("%s: %s", self.login.who(), error.reason)
            error = Error(error.text, "SYS/TEMP")
        if bad:
            self._bad += 1
            if self._bad > (MAX_BAD if self.drop is not None else MAX_BAD_BEFORE_LOGIN):
                raise Disconnect("Too many bad commands.")
        code = f"[{error.code}] " if error.code else ""
        self.write(f"-ERR {code}{error.text}\r\n".encode("utf-8", "surrogateescape"))

    # Out

    def ok(self, text: str = "") -> None:
        """Write ``+OK text``."""
        self._bad = 0
        self.write(f"+OK {text}\r\n".encode() if text else b"+OK\r\n")

    def write(self, data: bytes) -> None:
        """Queue octets for the peer."""
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand what was queued to the transport."""
        if self._out and not self.closed:
            data = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self.wire.write(data)

    async def write_multiline(self, data: bytes) -> None:
        """Write a message, dot-stuffed as a whole (RFC 1939 section 3), in pieces that wait for a slow peer."""
        stuffed = data.replace(b"\n.", b"\n..")
        if stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        end = b".\r\n" if not stuffed or stuffed.endswith(b"\n") else b"\r\n.\r\n"
        for start in range(0, len(stuffed), PIECE):
            self.write(stuffed[start : start + PIECE])
            waiting = self.wire.writable()
            if waiting is not None:
                await waiting
        self.write(end)

    # Life

    def start_tls(self, go_ahead: bytes) -> None:
        """Begin TLS. Plaintext that was sent behind STLS ends the connection: it may be an injection (RFC 2595
        section 4, the class of CVE-2011-0411), and it is in no case acted upon."""
        self.flush()
        injected = 0 if self.login.settings.starttls_injection else self.reader.clear()
        if injected:
            log.warning("%s: %d octets of plaintext behind STLS, connection closed", self.login.who(), injected)
            self.write(go_ahead)
            self.end()
            return
        self.wire.start_tls(go_ahead)
        self.login.tls = True
        self.user = None

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
            self.end()

    def end(self) -> None:
        """Write what is queued and close the connection."""
        if not self.closed:
            self.flush()
            self.wire.close()
            self.lost()

    def lost(self) -> None:
        """The connection is gone: let go of everything, deleting nothing. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        if self._task is not None and self._task is not _current_task():
            self._task.cancel()
        if self.drop is not None:
            if self.settings.no_flag_updates:
                self.drop.mailbox.close()
            else:
                self.drop.close()
            self.drop = None
        if self.store is not None:
            self.store.close()
            self.store = None
        self.login.release()

    def timed_out(self) -> None:
        """Nothing came for too long."""
        self.bye("Disconnected for inactivity.")

    def drain(self) -> None:
        """The server goes down."""
        self.bye("[SYS/TEMP] Server shutting down.")

    @property
    def busy(self) -> bool:
        """Whether a command is running."""
        return self._task is not None


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
