"""One IMAP session: takes octets, runs commands one after the other, writes answers in batches. Owns no socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from imap.imap4 import arguments
from imap.imap4.arguments import Arguments
from imap.imap4.capability import after_login, before_login
from imap.imap4.commands import COMMANDS
from imap.imap4.commands.base import Command, Flush, Reply, State
from imap.imap4.errors import Bad, Disconnect, ParseError, ReplyError, TooBig
from imap.imap4.reader import Command as CommandRead
from imap.imap4.reader import CommandReader, Continue, Refused
from imap.imap4.view import View
from imap.login import Login
from imap.store import MailboxDeleted, StoreError, UserStore

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

log = logging.getLogger("dovecot.imap")

# As Dovecot: this many bad commands end the connection, before log-in and after.
MAX_BAD_BEFORE_LOGIN = 3
MAX_BAD = 20
# Before log-in no honest command comes near it; a longer one ends the connection.
MAX_LINE_BEFORE_LOGIN = 4096
# Dovecot's default of imap_max_line_length.
MAX_LINE = 64 << 10
# Seconds without a command: before log-in, and after (RFC 3501 section 5.4 asks for at least 30 minutes).
LOGIN_TIMEOUT = 180.0
IDLE_TIMEOUT = 1800.0
# Answers are gathered up to this many octets before they are written.
BATCH = 32 << 10
# A command that runs longer than this many seconds lets other sessions run.
SLICE = 0.02


class Wire(Protocol):
    """What a session needs of its connection."""

    local: tuple[str, int]
    remote: tuple[str, int]

    @property
    def is_tls(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    def start_tls(self, go_ahead: bytes) -> None: ...
    def close(self) -> None: ...
    def set_timeout(self, seconds: float) -> None: ...
    def writable(self) -> asyncio.Future[None] | None:
        """None, or a future that is done when the peer has taken enough of what was written."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about IMAP sessions."""

    max_line: int = MAX_LINE  # imap_max_line_length
    capability: str = ""  # imap_capability
    id_send: str = "name *"  # imap_id_send
    idle_notify: float = 120.0  # imap_idle_notify_interval
    quota: bool = False  # whether the imap_quota plugin is on

    @classmethod
    def from_config(cls, config: DovecotConfig) -> Settings:
        """Read them, ``protocol imap {}`` respected."""
        view = config.protocol("imap")
        return cls(
            max_line=view.size("imap_max_line_length") or MAX_LINE,
            capability=view.str("imap_capability"),
            id_send=view.str("imap_id_send"),
            idle_notify=view.seconds("imap_idle_notify_interval"),
            quota="imap_quota" in view.list("mail_plugins"),
        )


class Session:
    """The state of one connection. ``receive`` and ``lost`` are called by the transport's shell."""

    def __init__(self, wire: Wire, login: Login, settings: Settings) -> None:
        self.wire = wire
        self.login = login
        self.settings = settings
        self.state = State.NOT_AUTHENTICATED
        self.reader = CommandReader(MAX_LINE_BEFORE_LOGIN, self._admit)
        self.store: UserStore | None = None
        self.view: View | None = None
        self.enabled: set[str] = set()
        self.capability_told = False
        self.closed = False
        self._out: list[bytes] = []
        self._out_size = 0
        self._bad = 0
        self._task: asyncio.Task[None] | None = None
        self._line: asyncio.Future[bytes] | None = None
        self._slice = 0.0
        self._receiving = False
        self._on_close: list[Callable[[], None]] = []

    # In

    def greet(self) -> None:
        """Say ``* OK`` with the capabilities."""
        self.wire.set_timeout(LOGIN_TIMEOUT)
        self.write(f"* OK [CAPABILITY {self.capabilities()}] {self.login.greeting}\r\n".encode())
        self.flush()

    def receive(self, data: bytes) -> None:
        """Octets from the peer."""
        if self.closed:
            return
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
        """Handle one event; False when more octets, or the end of the running command, must come first."""
        if self._line is not None:
            return self._give_line()
        if self._task is not None:
            return False
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
            self._fail(tag, name, event.error, time.monotonic())
        else:
            self._command(event)
        return True

    def _give_line(self) -> bool:
        assert self._line is not None
        if self._line.done():
            return False
        try:
            line = self.reader.take_line()
        except ParseError as error:
            raise Disconnect(error.text) from error
        if line is None:
            return False
        waiting, self._line = self._line, None
        waiting.set_result(line)
        return False

    def read_line(self) -> asyncio.Future[bytes]:
        """The next line from the peer, outside of command syntax (SASL, IDLE). Only for the running command."""
        self._line = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self.proceed)
        return self._line

    # Commands

    def _admit(self, pieces: Sequence[bytes], size: int) -> None:
        """Judge a literal before a single octet of it is taken."""
        tag, _ = _names(pieces[0])
        command, offset = self._lookup(tag, pieces[0])
        limit = command.literal_limit(self, pieces, offset) or self.reader.max_line
        if size > limit:
            raise TooBig("Literal size too large")

    def _lookup(self, tag: bytes, line: bytes) -> tuple[Command, int]:
        """The command of a line and the offset of its arguments. Raises Bad."""
        start = len(tag) + 1
        end = line.find(b" ", start)
        end = len(line) if end < 0 else end
        name = line[start:end].upper()
        uid = name == b"UID"
        if uid:
            start = end + 1
            end = line.find(b" ", start)
            end = len(line) if end < 0 else end
            name = line[start:end].upper()
        if not name or not name.isascii():
            raise Bad("Invalid command name")
        kind = COMMANDS.get(name.decode("ascii"))
        known = kind is not None and (kind.takes_uid if uid else not kind.only_uid)
        if kind is None or not known or (not self.logged_in and not kind.states & self.state):
            raise Bad("Unknown command")
        if not kind.states & self.state:
            if kind.states == State.SELECTED:
                raise NotSelected()
            raise Bad("Unknown command")
        return kind(tag, uid=uid), end

    @property
    def logged_in(self) -> bool:
        """Whether the session has a user."""
        return self.state != State.NOT_AUTHENTICATED

    def _command(self, read: CommandRead) -> None:
        """Run one command, at once or as a task."""
        started = time.monotonic()
        first = read.pieces[0]
        tag, name = _names(first)
        if not tag or not _TAG(tag):
            self._fail(b"", "", Bad("Invalid command name"), started)
            return
        try:
            command, offset = self._lookup(tag, first)
            items = arguments.parse(read.pieces, offset)
            result = command.run(self, Arguments(items))
        except (ReplyError, StoreError) as error:
            self._fail(tag, name, error, started)
            return
        if isinstance(result, Reply):
            self._finish(command, result, started)
        else:
            self._task = asyncio.get_running_loop().create_task(self._await(command, name, result, started))

    async def _await(self, command: Command, name: str, result: Coroutine[Any, Any, Reply], started: float) -> None:
        """See a command through that had to wait."""
        self._slice = time.monotonic() + SLICE
        try:
            try:
                reply = await result
            except (ReplyError, StoreError) as error:
                self._fail(command.tag, name, error, started)
            else:
                self._finish(command, reply, started)
        except Disconnect as bye:
            self.bye(bye.text)
        except asyncio.CancelledError:
            raise
        except Exception:
            self._internal_error()
        finally:
            self._task = None
        self.proceed()

    def _finish(self, command: Command, reply: Reply, started: float) -> None:
        if self.closed:
            return
        code = reply.code
        if self.view is not None and command.news:
            self._tell_news(command.news, uid=command.uid and command.news_with_uid)
            if self.view.vanished_told:
                self.view.vanished_told = False
                if code is None:
                    code = f"HIGHESTMODSEQ {self.view.mailbox.highest_modseq}"
        if reply.start_tls:
            self._start_tls(command.tag + f" OK {reply.text}\r\n".encode())
            return
        self._tagged(command.tag, reply.status, reply.text, code, started)
        if reply.close:
            self.end()

    def _start_tls(self, go_ahead: bytes) -> None:
        """Begin TLS. Plaintext that was sent behind STARTTLS ends the connection: it may be an injection (RFC 3501
        section 6.2.1, the class of CVE-2011-0411), and it is in no case acted upon."""
        self.flush()
        injected = 0 if self.login.settings.starttls_injection else self.reader.clear()
        if injected:
            log.warning("%s: %d octets of plaintext behind STARTTLS, connection closed", self.login.who(), injected)
            self.write(go_ahead)
            self.end()
            return
        self.wire.start_tls(go_ahead)
        self.login.tls = True

    def _tell_news(self, news: Flush, *, uid: bool) -> None:
        assert self.view is not None
        try:
            self.view.sync(self.write, expunges=bool(news & Flush.EXPUNGES), uid=uid)
        except MailboxDeleted as error:
            raise Disconnect(error.text) from error

    def _fail(self, tag: bytes, name: str, error: ReplyError | StoreError, started: float) -> None:
        """Answer a command that failed; too many bad ones end the connection."""
        if isinstance(error, StoreError):
            if error.reason:
                log.error("%s: %s", self.login.who(), error.reason)
            self._tagged(tag, "NO", error.text, error.code, started)
            return
        if error.status == "NO":
            self._tagged(tag, "NO", error.text, error.code, started)
            return
        self._bad += 1
        if self._bad >= (MAX_BAD if self.logged_in else MAX_BAD_BEFORE_LOGIN):
            raise Disconnect("Too many invalid IMAP commands.")
        text = error.text.removesuffix(".")
        if isinstance(error, NotSelected):
            pass
        elif not self.logged_in and text == "Unknown command":
            text = "Error in IMAP command received by server."
        elif text == "Invalid command name" or not name:
            text = f"Error in IMAP command: {text}"
        else:
            text = f"Error in IMAP command {name}: {text}"
        self._tagged(tag, "BAD", text, error.code, started)

    def _tagged(self, tag: bytes, status: str, text: str, code: str | None, started: float) -> None:
        if status == "OK":
            self._bad = 0
        if self.logged_in and not text.endswith("Logged in"):
            text = f"{text.removesuffix('.')} ({time.monotonic() - started:.3f} + 0.000 secs)."
        bracket = f"[{code}] " if code else ""
        self.write((tag or b"*") + f" {status} {bracket}{text}\r\n".encode("utf-8", "surrogateescape"))

    # Out

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

    def out_of_breath(self) -> bool:
        """Whether a long command should :meth:`breathe` now."""
        return time.monotonic() > self._slice or self.wire.writable() is not None

    async def breathe(self) -> None:
        """Wait for a slow peer and let other sessions run."""
        waiting = self.wire.writable()
        await (waiting if waiting is not None else asyncio.sleep(0))
        self._slice = time.monotonic() + SLICE

    # Life

    def capabilities(self) -> str:
        """The capability list for the state that the session is in."""
        return after_login(self.settings) if self.logged_in else before_login(self.login)

    def logged_in_as(self, store: UserStore) -> None:
        """The user is known: the limits before log-in fall."""
        self.store = store
        self.state = State.AUTHENTICATED
        self.reader.max_line = self.settings.max_line
        self.wire.set_timeout(IDLE_TIMEOUT)
        self._bad = 0

    def select(self, view: View) -> None:
        """Enter the selected state."""
        self.view = view
        self.state = State.SELECTED

    def deselect(self) -> None:
        """Leave the selected state, expunging nothing."""
        if self.view is not None:
            self.view.mailbox.close()
            self.view = None
            self.state = State.AUTHENTICATED

    def bye(self, text: str) -> None:
        """Say BYE and close."""
        if not self.closed:
            self.write(f"* BYE {text}\r\n".encode())
            self.end()

    def end(self) -> None:
        """Write what is queued and close the connection."""
        if not self.closed:
            self.flush()
            self.wire.close()
            self.lost()

    def lost(self) -> None:
        """The connection is gone: let go of everything. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        if self._task is not None and self._task is not _current_task():
            self._task.cancel()
        self.deselect()
        if self.store is not None:
            self.store.close()
            self.store = None
        self.login.release()

    def timed_out(self) -> None:
        """Nothing came for too long."""
        self.bye("Disconnected for inactivity.")

    def drain(self) -> None:
        """The server goes down."""
        self.bye("Server shutting down.")

    @property
    def busy(self) -> bool:
        """Whether a command is running."""
        return self._task is not None


class NotSelected(Bad):
    """A command of the selected state came too early."""

    def __init__(self) -> None:
        super().__init__("No mailbox selected")


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _TAG(tag: bytes) -> bool:
    return not any(octet in b'(){%*"\\+' or octet <= 0x20 or octet >= 0x7F for octet in tag)


def _names(line: bytes) -> tuple[bytes, str]:
    """Tag and command name (with its UID) as they are quoted in an error."""
    tag, _, rest = line.partition(b" ")
    name, _, rest = rest.partition(b" ")
    if name.upper() == b"UID":
        name += b" " + rest.partition(b" ")[0]
    return tag, name[:64].upper().decode("ascii", "replace")
