"""One SMTP client on the event loop: octets in, replies out, limits on time and memory. No policy, no commands."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final, cast

from aiosmtpd import smtp as aiosmtpd

from auth import wiretap
from mta.smtpd import dialogue, haproxy
from mta.smtpd.dotreader import DotReader, Newlines
from mta.smtpd.lines import InputBuffer
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session, Transaction
from mta.smtpd.spool import Spool

if TYPE_CHECKING:
    from mta.smtpd.server import Server

INPUT_HIGH_WATER: Final = 256 * 1024
"""Octets that may wait unread before we stop reading from the socket: a client that talks without listening waits."""

OUTPUT_LIMIT: Final = 64 * 1024
"""Octets of replies that are collected before they are sent, whatever else is pipelined."""


FAREWELL_SECONDS: Final = 10.0
"""What a client that does not listen gets to take the last replies; then the connection is cut."""


class Disconnected(Exception):
    """The client has gone."""


class TimeLimitExceeded(Exception):
    """The client said nothing for smtpd_timeout seconds."""


class LineTooLong(Exception):
    """A line that must be whole (a SASL response) exceeds its limit."""


class Connection(aiosmtpd.SMTP):
    """aiosmtpd's SMTP protocol with its reading and writing replaced.

    Kept are its session and envelope. Its StreamReader, its line-by-line DATA and the inspection of every member in
    `__init__` are not: they cost more than the rest of a mail. Octets arrive in `data_received`, wait in an
    InputBuffer, and replies are collected until the client has to be waited for, so that a pipelined group of commands
    is answered in one segment (RFC 2920 section 3.2).
    """

    session: Session
    envelope: Transaction
    transport: asyncio.Transport

    def __init__(self, server: Server, on_end: Callable[[Connection], None] = lambda _: None) -> None:
        # not aiosmtpd's: it would inspect the class for each client
        self.server = server
        self._on_end = on_end
        """Told, once or oftener, that nothing of the connection is left."""
        self.loop = asyncio.get_running_loop()
        self.input = InputBuffer()
        self._output: list[bytes] = []
        self._output_size = 0
        self._eof = False
        self._lost = False
        self._reading_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._deadline = inf
        self._request_ends = inf
        self._content: DotReader | None = None
        """What takes the octets that arrive, until its end has come."""
        self._upgrading = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._upgrading:
            return
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("127.0.0.1", 0)
        local = transport.get_extra_info("sockname") or ("127.0.0.1", 0)
        self.session = self.server.new_session(self.loop, peer, local)
        self.envelope = self._create_envelope()
        self.task = self.loop.create_task(self._handle_client())
        self.server.connections.add(self)
        self.server.talking.add(self)
        self.server.timekeeper.watch(self.server.connections, self.server.timeout)

    def data_received(self, data: bytes) -> None:
        self.server.talking.add(self)
        if wiretap.on():
            wiretap.show(self, data, client=True)
        if self._request_ends != inf:
            self._request_ends += len(data) / self.server.least_data_rate
        if self._content is not None:
            rest = self._content.feed(data)
            if rest is None:
                self._prolong()
                return
            self._content, data = None, rest
        self.input.feed(data)
        self._wake()
        if len(self.input) > INPUT_HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool | None:
        self._eof = True
        self._wake()
        return None if self.transport.get_extra_info("sslcontext") else True

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self._eof = True
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self.task.done():
            self._on_end(self)

    def pause_writing(self) -> None:
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # The life of the connection.

    async def _handle_client(self) -> None:
        try:
            await dialogue.converse(self)
            self.flush()
        finally:
            self.server.connections.discard(self)
            self.server.talking.discard(self)
            self.envelope.close()
            self._hang_up()

    def _hang_up(self) -> None:
        """Close the connection, at the latest when the client had its time to take what it was told."""
        if self._lost:
            self._on_end(self)
            return
        unsent = self.transport.get_write_buffer_size()
        self.transport.close()
        if unsent:
            self.loop.call_later(FAREWELL_SECONDS, self.transport.abort)
        else:
            self._on_end(self)

    def close_politely(self) -> None:
        """The service ends: the session's task is cancelled and says 421."""
        self.task.cancel()

    def new_transaction(self) -> None:
        """RFC 5321 section 4.1.1.5: forget sender, recipients and content."""
        self.envelope.close()
        self.envelope = self._create_envelope()

    def _create_envelope(self) -> Transaction:
        return Transaction()

    # Input.

    @property
    def input_waiting(self) -> bool:
        return bool(self.input)

    async def read_line(self) -> bytes:
        """The next command line, cut at line_length_limit octets."""
        limit = self.server.line_limit
        if self.server.per_request_deadline:
            self._begin_request()
        while (line := self.input.line(limit)) is None:
            await self._more_input()
        return line

    async def read_response(self, limit: int) -> bytes:
        """A line of a SASL exchange, at most `limit` octets; LineTooLong beyond (RFC 4954 section 4)."""
        while (line := self.input.line(limit + 1)) is None:
            await self._more_input()
        if len(line) > limit:
            raise LineTooLong
        return line

    async def read_content(self, newlines: Newlines, limit: int) -> DotReader:
        """The content of DATA, to its end."""
        reader = DotReader(newlines, limit, self.server.spool())
        if self.server.per_request_deadline:
            self._begin_request()
        try:
            rest = reader.feed(self.input.take_all())
            if rest is not None:
                self.input.put_back(rest)
                return reader
            self._content = reader
            while self._amid_content:
                await self._more_input()
        except BaseException:
            self._content = None
            reader.forget()
            raise
        return reader

    @property
    def _amid_content(self) -> bool:
        return self._content is not None

    async def read_proxy_header(self, timeout: float) -> haproxy.Header:
        """What a proxy in front of us says of the client. Raises haproxy.Malformed, TimeoutError."""
        async with asyncio.timeout(timeout):
            while True:
                octets = self.input.take_all()
                header = haproxy.parse(octets)
                if header is not None:
                    self.input.put_back(octets[header.size :])
                    return header
                self.input.put_back(octets)
                await self._more_input()

    async def talks_within(self, seconds: float) -> bool:
        """Whether the client says something, unasked, before the time is over. Raises Disconnected."""
        try:
            async with asyncio.timeout(seconds):
                while not len(self.input):
                    await self._more_input()
        except TimeoutError:
            return False
        return True

    async def read_octets(self, count: int, kept: Spool | None) -> None:
        """Exactly `count` octets of a BDAT chunk, put behind what is `kept`; None reads them away."""
        while count > 0:
            octets = self.input.take(count)
            if not octets:
                await self._more_input()
                continue
            count -= len(octets)
            if kept is not None:
                kept.write(octets)

    def _begin_request(self) -> None:
        self._request_ends = self.loop.time() + self.server.timeout

    async def _more_input(self) -> None:
        """Wait for the client. Everything said so far is sent first."""
        self.flush()
        if self._eof:
            raise Disconnected
        if self._writable is not None:
            await self._timed(self._writable)
            if self._lost:
                raise Disconnected
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        self._waiter = self.loop.create_future()
        await self._timed(self._waiter)

    async def _timed(self, future: asyncio.Future[None]) -> None:
        """Wait with smtpd_timeout, and with what is left of the request where smtpd_per_request_deadline = yes."""
        self._prolong()
        try:
            await future
        finally:
            self._deadline = inf
        if self._timed_out:
            raise TimeLimitExceeded

    def _prolong(self) -> None:
        """Wait for the client as long as it may be silent from now on."""
        self._deadline = min(self.loop.time() + self.server.timeout, self._request_ends)

    _timed_out = False

    def check_deadline(self, now: float) -> None:
        """Called from time to time by the timekeeper."""
        if now >= self._deadline:
            self._timed_out = True
            self._wake()
            self.resume_writing()

    # Output.

    async def reply(self, reply: Reply) -> None:
        """Say it, later if more commands wait; many errors make the client wait (smtpd_error_sleep_time)."""
        server = self.server
        if server.error_sleep and self.session.errors >= server.soft_error_limit:
            self.flush()
            await asyncio.sleep(server.error_sleep)
        if reply.code >= 400:
            reply = await server.finish_refusal(self.session, reply)
            if reply.hangs_up:
                self.session.hung_up = True
        wire = reply.wire()
        self._output.append(wire)
        self._output_size += len(wire)
        if self._output_size > OUTPUT_LIMIT:
            self.flush()

    def say(self, line: str) -> None:
        """A line that is no whole reply (the first half of a greeting)."""
        self._output.append(line.encode("utf-8", "surrogateescape") + b"\r\n")

    def flush(self) -> None:
        if not self._output:
            return
        output = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        self._output_size = 0
        if not self._lost and not self.transport.is_closing():
            if wiretap.on():
                wiretap.show(self, output, client=False)
            self.transport.write(output)

    def wire_ends(self) -> wiretap.Ends:
        """For `hardmail watch`."""
        transport, session = self.transport, self.session
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        tls = transport.get_extra_info("sslcontext") is not None
        return wiretap.Ends("smtp", wiretap.name(peer), wiretap.name(own), tls, session.sasl_username)

    # TLS.

    async def start_tls(self, context: ssl.SSLContext, go_ahead: Reply | None) -> ssl.SSLObject:
        """Turn the connection into TLS. Whatever the client sent ahead of the handshake is dropped unread.

        Raises ssl.SSLError, OSError or TimeoutError when there is no agreement; the connection is of no use then.
        """
        self.transport.pause_reading()
        if go_ahead is not None:
            await self.reply(go_ahead)
            self.flush()
        if not self.server.keep_injected_plaintext:
            self.input.clear()
        self._upgrading = True
        try:
            transport = await self.loop.start_tls(
                self.transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self.server.starttls_timeout,
            )
        finally:
            self._upgrading = False
        if transport is None:
            raise ConnectionResetError
        self.transport = transport
        return cast(ssl.SSLObject, transport.get_extra_info("ssl_object"))
