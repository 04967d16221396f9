"""aiosmtplib's protocol with command pipelining: several commands in one write, their replies in order (RFC 2920)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final, cast

from aiosmtplib import SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.protocol import MAX_RESPONSE_LENGTH, SMTPProtocol

from auth import wiretap
from mta.delivery.smtp.reply import Reply

_UNSAFE: Final = re.compile(rb"[\r\n\0]")


class Disconnected(Exception):
    """The connection was lost."""


class TimedOut(Exception):
    """The server said nothing for too long."""


class BadReply(Exception):
    """What came is no SMTP reply, or there was no end to it."""


class ClientProtocol(SMTPProtocol):
    """One connection. Commands are sent with `send`, replies fetched one by one with `reply`."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self._replies: deque[Reply] = deque()
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._expected = 1  # the greeting
        self._deadline = inf
        self._timer: asyncio.TimerHandle | None = None

    # --- asyncio's side --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if wiretap.on():
            wiretap.show(self, data, client=False)
        if self._expected <= 0:
            # Nothing is owed to us: a server that speaks out of turn (421 on shutdown) is closing, or lies. What it
            # said must never be taken for the answer to the next command.
            self._fail(Disconnected())
            return
        self._buffer.extend(data)
        try:
            while self._expected > 0 and (response := self._read_response_from_buffer()) is not None:
                if not 200 <= response.code <= 599:
                    raise SMTPResponseException(response.code, "bad reply code")
                self._replies.append(Reply(response.code, tuple(response.message.split("\n"))))
                self._expected -= 1
        except SMTPResponseException as error:
            self._fail(BadReply(error.message))
        if self._expected <= 0:
            # What follows the last reply owed: see above, and RFC 3207 section 6 for the one to STARTTLS.
            del self._buffer[:]
        if len(self._buffer) > MAX_RESPONSE_LENGTH:
            self._fail(BadReply("reply too long"))
        self._wake()

    def eof_received(self) -> bool:
        self._fail(Disconnected())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Disconnected())
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        if not self._closed_future.done():
            self._closed_future.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        del self._buffer[:]
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def wire_ends(self) -> wiretap.Ends:
        """For `hardmail watch`."""
        transport = self.transport
        own, peer = (transport.get_extra_info(end) if transport else None for end in ("sockname", "peername"))
        return wiretap.Ends("smtp", wiretap.name(own), wiretap.name(peer), bool(self._over_ssl), outgoing=True)

    # --- our side --------------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """The connection stands and the server owes no reply."""
        return self._failure is None and self.is_connected and self._expected == 0 and not self._replies

    @property
    def has_reply(self) -> bool:
        """A reply came that nobody has fetched."""
        return bool(self._replies)

    def send(self, commands: Sequence[bytes]) -> None:
        """Write commands (without CRLF) at once; one reply is expected for each. Raises Disconnected."""
        if _UNSAFE.search(b"".join(commands)):
            raise ValueError("a line end inside an SMTP command")
        self.send_raw(b"".join(command + b"\r\n" for command in commands), len(commands))

    def send_raw(self, octets: bytes, replies: int) -> None:
        """Write octets for which the server will give so many replies. Raises Disconnected."""
        if self._failure is not None:
            # A server may refuse and hang up before we have sent all: its reply counts, if it came.
            if self._replies:
                return
            raise self._failure
        self._expected += replies
        if wiretap.on():
            wiretap.show(self, octets, client=True)
        try:
            self.write(octets)
        except SMTPServerDisconnected as error:
            raise Disconnected from error

    async def reply(self, timeout: float) -> Reply:
        """The next reply. Raises Disconnected, TimedOut or BadReply."""
        if not self._replies:
            await self._wait(timeout)
        return self._replies.popleft()

    async def command(self, command: bytes, timeout: float) -> Reply:
        """Send one command and wait for its reply."""
        self.send([command])
        return await self.reply(timeout)

    async def drain(self, timeout: float) -> None:
        """Wait until the peer has taken enough of what was written. Raises Disconnected or TimedOut."""
        if not self._paused and not self._connection_lost:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._drain_helper()
        except TimeoutError as error:
            raise TimedOut from error
        except ConnectionError as error:
            raise Disconnected from error

    async def start_tls_now(self, context: ssl.SSLContext, server_hostname: str | None, timeout: float) -> None:
        """The handshake, after the go-ahead. Raises ssl.SSLError, OSError, TimedOut or Disconnected.

        Replies that came in clear text with or behind the go-ahead were thrown away as they arrived.
        """
        if self._failure is not None:
            raise self._failure
        if self.transport is None:
            raise Disconnected
        del self._buffer[:]
        self._replies.clear()
        loop = asyncio.get_running_loop()
        try:
            self.transport = await loop.start_tls(
                cast("asyncio.WriteTransport", self.transport),  # uvloop's derive from nothing of asyncio's
                self,
                context,
                server_side=False,
                server_hostname=server_hostname,
                ssl_handshake_timeout=timeout,
            )
        except ConnectionAbortedError as error:
            raise TimedOut from error
        if self.transport is None:
            raise Disconnected
        self._over_ssl = True

    def abort(self) -> None:
        """Close without a word."""
        if self.transport is not None:
            cast("asyncio.WriteTransport", self.transport).abort()

    async def _wait(self, timeout: float) -> None:
        """One timer serves the whole connection: it looks whether the deadline has moved on."""
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + timeout
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(self._deadline, self._look_at_deadline)
        try:
            while not self._replies:
                if self._failure is not None:
                    raise self._failure
                self._waiter = loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            self._deadline = inf

    def _look_at_deadline(self) -> None:
        self._timer, loop = None, asyncio.get_running_loop()
        if loop.time() >= self._deadline:
            self._fail(TimedOut())
        elif self._deadline != inf:
            self._timer = loop.call_at(self._deadline, self._look_at_deadline)
