"""What an IMAP and a POP3 session have in common: octets in, one command after the other, answers out in batches.

Sans-I/O: a session owns no socket. The transport's shell calls ``greet``, ``receive``, ``lost``, ``timed_out`` and
``drain``; the session talks through its :class:`Wire`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from imap.login import Login

INTERNAL_ERROR = "Internal error occurred. Refer to server log for more information."

# Seconds without a command before log-in.
LOGIN_TIMEOUT = 180.0
# Octets that may wait behind a command, before log-in and after; the connection is not read meanwhile. One read of the
# transport can exceed it by as much as the transport reads at once (64 KiB).
MAX_WAITING_BEFORE_LOGIN = 8192
MAX_WAITING = 256 << 10
# Answers are gathered up to this many octets before they are written.
BATCH = 32 << 10
# A command that runs longer than this many seconds lets other sessions run.
SLICE = 0.02


class Disconnect(Exception):
    """The connection ends with a word to the peer."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Wire(Protocol):
    """What a session needs of its connection."""

    local: tuple[str, int]
    remote: tuple[str, int]

    def write(self, data: bytes) -> None: ...
    def start_tls(self, go_ahead: bytes) -> None: ...
    def start_compression(self) -> None: ...
    def close(self) -> None: ...
    def set_timeout(self, seconds: float) -> None: ...
    def writable(self) -> asyncio.Future[None] | None:
        """None, or a future that is done when the peer has taken enough of what was written."""


class Session(ABC):
    """Base of both. A subclass reads (`_feed`, `_discard_input`, `_step`, `_take_line`) and lets go (`_release`)."""

    def __init__(self, wire: Wire, login: Login, log: logging.Logger) -> None:
        self.wire = wire
        self.login = login
        login.end = self.drain
        self.log = log
        self.closed = False
        self.started_tls = False
        self.octets_in = 0
        self.octets_out = 0
        self._out: list[bytes] = []
        self._out_size = 0
        self._task: asyncio.Task[None] | None = None
        self._line: asyncio.Future[bytes] | None = None
        self._slice = 0.0
        self._receiving = False

    # The subclass's part

    @abstractmethod
    def greet(self) -> None:
        """Say the first word."""

    @abstractmethod
    def bye(self, text: str) -> None:
        """Say the last word and close."""

    @abstractmethod
    def _feed(self, data: bytes) -> None:
        """Take octets."""

    @abstractmethod
    def _step(self) -> bool:
        """Handle what has been read; False when more octets must come first."""

    @abstractmethod
    def _take_line(self) -> bytes | None:
        """A whole line outside of commands. Raises Disconnect."""

    @abstractmethod
    def _discard_input(self) -> int:
        """Forget what was read; how many octets that was."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Octets read that no command has taken yet."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the mail."""

    def _caught_up(self) -> None:  # noqa: B027 - POP3 answers every command at once
        """Everything that was read whole has been run."""

    # In

    @property
    def is_logged_in(self) -> bool:
        """Whether a user is known."""
        return self.login.user is not None

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read before what was read is answered."""
        return self.busy and self.buffered > (MAX_WAITING if self.is_logged_in else MAX_WAITING_BEFORE_LOGIN)

    def receive(self, data: bytes) -> None:
        """Octets from the peer."""
        if not self.closed:
            self.octets_in += len(data)
            self._feed(data)
            self.proceed()

    def proceed(self) -> None:
        """Run what has been read, until a command waits for something."""
        if not self._receiving:
            self._receiving = True
            try:
                self.guard(self._read)
            finally:
                self._receiving = False

    def _read(self) -> None:
        while not self.closed and self._next():
            pass
        if not self.closed and self._task is None:
            self._caught_up()

    def guard(self, action: Callable[[], None]) -> None:
        """Do something for the session from outside of its commands: faults end it with a word."""
        if self.closed:
            return
        try:
            action()
        except Disconnect as bye:
            self.bye(bye.text)
        except Exception:
            self._internal_error()
        self.flush()

    def _next(self) -> bool:
        if self._line is not None and not self._line.done():
            line = self._take_line()
            if line is not None:
                self._line.set_result(line)
            return False
        return self._task is None and self._step()

    def read_line(self) -> asyncio.Future[bytes]:
        """The next line from the peer, outside of command syntax (SASL, IDLE). Only for the running command."""
        loop = asyncio.get_running_loop()
        self._line = loop.create_future()
        loop.call_soon(self.proceed)
        return self._line

    @property
    def waits_for_line(self) -> bool:
        """Whether the running command waits for the peer."""
        return self._line is not None and not self._line.done()

    def run(self, command: Coroutine[Any, Any, None]) -> None:
        """See a command through that has to wait; what comes behind it is read afterwards."""
        self._slice = time.monotonic() + SLICE
        self._task = asyncio.get_running_loop().create_task(self._run(command))

    async def _run(self, command: Coroutine[Any, Any, None]) -> None:
        try:
            await command
        except Disconnect as bye:
            self.bye(bye.text)
        except Exception:
            self._internal_error()
        finally:
            self._task = None
        self.proceed()

    def _internal_error(self) -> None:
        """A fault of ours: the log gets all of it, the peer a word."""
        self.log.exception("%s: internal error", self.login.who())
        self.bye(INTERNAL_ERROR)

    @property
    def busy(self) -> bool:
        """Whether a command is running."""
        return self._task is not None

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
            self.octets_out += len(data)
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

    def start_tls(self, go_ahead: bytes) -> None:
        """Begin TLS. Plaintext that was sent behind the command ends the connection: it may be an injection (RFC 3501
        section 6.2.1, RFC 2595 section 4, the class of CVE-2011-0411), and it is in no case acted upon."""
        self.flush()
        injected = 0 if self.login.settings.starttls_injection else self._discard_input()
        if injected:
            self.log.warning("%s: %d octets of plaintext behind the request for TLS", self.login.who(), injected)
            self.write(go_ahead)
            self.end("Plaintext behind the request for TLS")
            return
        self.wire.start_tls(go_ahead)
        self.login.tls = self.started_tls = True

    def end(self, reason: str) -> None:
        """Write what is queued and close the connection; the reason is for the log."""
        if not self.closed:
            self.flush()
            self.wire.close()
            self.lost(reason)

    def lost(self, reason: str = "Connection closed") -> None:
        """The connection is gone: let go of everything. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self.login.log_end(reason, self.octets_in, self.octets_out)
        if self._task is not None and self._task is not _current_task():
            self._task.cancel()
        self._release()
        self.login.release()

    def timed_out(self) -> None:
        """Nothing came for too long."""
        self.bye("Disconnected for inactivity.")

    def drain(self) -> None:
        """The server goes down, or (``doveadm kick``) this session."""
        self.bye("Server shutting down.")


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
