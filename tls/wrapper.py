"""The TLS wrapper: TLS on one side, the same octets in the clear on the other, as stunnel(8) does it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

log = logging.getLogger("hardmail.tlswrap")

HANDSHAKE_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 43200.0
"""As stunnel's TIMEOUTidle: a mail program may stay connected half a day without a word."""
PROGRAM_ENDS_SECONDS: Final = 10.0
"""How long a program may go on once its client has gone."""
CONNECTIONS: Final = 500
"""Clients at once, those in the handshake included: it is the expensive part."""
ACCEPT_AGAIN_SECONDS: Final = 1.0
"""After the system had no descriptor or memory left."""
CHUNK: Final = 1 << 16


@dataclass(frozen=True)
class Endpoint:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Program:
    """A program that talks on its standard input and output, as inetd(8) starts one; no shell sees `argv`."""

    path: str
    argv: Sequence[str]

    def __str__(self) -> str:
        return self.path


class Wrapper:
    """Clients of `sockets` are connected to `target`.

    With `accepting` they speak TLS and the target does not; with `connecting` it is the other way round, and
    `server_name` is the name that the server proves.
    """

    def __init__(
        self,
        target: Endpoint | Program,
        *,
        accepting: ssl.SSLContext | None = None,
        connecting: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        self._target = target
        self._accepting = accepting
        self._connecting = connecting
        self._server_name = server_name
        self._sessions: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(CONNECTIONS)

    async def serve(self, sockets: Sequence[socket.socket], drain: asyncio.Event) -> None:
        """Until `drain` is set; then sessions are ended."""
        accepting = [asyncio.create_task(self._accept(sock)) for sock in sockets]
        try:
            await drain.wait()
        finally:
            everything = {*accepting, *self._sessions}
            for task in everything:
                task.cancel()
            if everything:
                await asyncio.wait(everything)

    async def _accept(self, sock: socket.socket) -> None:
        """Take clients in as long as there is room; the others wait in the kernel's queue."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                client, _ = await loop.sock_accept(sock)
            except OSError as error:
                self._room.release()
                log.warning("accept: %s", error.strerror)
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            task = loop.create_task(self._session(client))
            self._sessions.add(task)
            task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._sessions.discard(task)
        self._room.release()

    async def _session(self, client: socket.socket) -> None:
        peer = "unknown"
        try:
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(client.close)
                peer = str(Endpoint(*client.getpeername()[:2]))
                reader, writer = await self._streams(client)
                stack.push_async_callback(_closed, writer)
                far_reader, far_writer = await self._reach(stack)
                log.info("%s connected to %s", peer, self._target)
                await _both(_pass(reader, far_writer), _pass(far_reader, writer))
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            log.warning("%s: %s", peer, getattr(error, "reason", None) or str(error) or "timed out")

    async def _streams(self, client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams on an accepted socket, behind the handshake where clients speak TLS. Raises OSError."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        handshake = {"ssl_handshake_timeout": HANDSHAKE_SECONDS} if self._accepting is not None else {}
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, client, ssl=self._accepting, **handshake)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _reach(self, stack: contextlib.AsyncExitStack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The streams of the other side, closed with `stack`. Raises OSError, TimeoutError."""
        if isinstance(self._target, Program):
            return await self._start(self._target, stack)
        async with asyncio.timeout(CONNECT_SECONDS + (HANDSHAKE_SECONDS if self._connecting else 0)):
            reader, writer = await asyncio.open_connection(
                self._target.host,
                self._target.port,
                ssl=self._connecting,
                server_hostname=self._server_name or self._target.host if self._connecting else None,
                limit=CHUNK,
            )
        stack.push_async_callback(_closed, writer)
        return reader, writer

    @staticmethod
    async def _start(
        program: Program, stack: contextlib.AsyncExitStack
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start the program with one socket as its standard input and output."""
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    *program.argv, executable=program.path, stdin=its.fileno(), stdout=its.fileno()
                )
            except OSError:
                ours.close()
                raise
        stack.push_async_callback(_ended, process)
        reader, writer = await asyncio.open_connection(sock=ours, limit=CHUNK)
        stack.push_async_callback(_closed, writer)
        return reader, writer


async def _both(*directions: Coroutine[None, None, None]) -> None:
    """Both directions to their end; a fault in one ends the other. Raises OSError."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything from one side to the other, then its end. TLS cannot be closed in one direction: it closes whole."""
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            octets = await reader.read(CHUNK)
        if not octets:
            break
        writer.write(octets)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CONNECT_SECONDS):
            await writer.wait_closed()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Its socket is closed: a good program ends by itself."""
    try:
        async with asyncio.timeout(PROGRAM_ENDS_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
