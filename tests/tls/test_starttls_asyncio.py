"""Plaintext injected around STARTTLS, over real sockets, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tls.errors import TLSHandshakeError
from tls.starttls_asyncio import upgrade_client, upgrade_server

GO_AHEAD = b"220 ready\r\n"
Upgrade = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[int]]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, 20))

    return run


class Server:
    """Reads lines and remembers each with whether it came under TLS; STARTTLS upgrades."""

    def __init__(self, upgrade: Upgrade, limit: int = 1 << 16) -> None:
        self.upgrade = upgrade
        self.limit = limit
        self.lines: list[tuple[bool, bytes]] = []
        self.dropped: int | None = None
        self.error: TLSHandshakeError | None = None
        self.finished = asyncio.Event()

    async def __aenter__(self) -> Server:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=self.limit)
        self.address = self.server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            secure = False
            while line := await reader.readline():
                self.lines.append((secure, line))
                if line == b"STARTTLS\r\n":
                    self.dropped = await self.upgrade(reader, writer)
                    secure = True
                else:
                    writer.write(b"ok " + line)
                    await writer.drain()
        except TLSHandshakeError as error:
            self.error = error
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.finished.set()


def guarded(context: ssl.SSLContext, timeout: float = 10) -> Upgrade:
    return lambda reader, writer: upgrade_server(reader, writer, context, go_ahead=GO_AHEAD, timeout=timeout)


def twin(context: ssl.SSLContext) -> Upgrade:
    return lambda reader, writer: upgrade_server(
        reader, writer, context, go_ahead=GO_AHEAD, timeout=10, keep_plaintext=True
    )


def naive(context: ssl.SSLContext) -> Upgrade:
    """What the standard library's documentation suggests."""

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(GO_AHEAD)
        await writer.drain()
        await writer.start_tls(context)
        return 0

    return upgrade


def talk(address: tuple[str, int], context: ssl.SSLContext, before: bytes, under_tls: bytes, pause: bool) -> bytes:
    """Send `before` in the clear, shake hands, send `under_tls`, return the first answer under TLS."""
    with socket.create_connection(address, 10) as plain:
        plain.sendall(before)
        answer = b""
        while not answer.endswith(GO_AHEAD):
            answer += plain.recv(1)
        if pause:
            plain.sendall(b"NOOP after the go-ahead\r\n")
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(under_tls)
            return secure.recv(1 << 16)


@pytest.mark.parametrize(
    "injected",
    [b"", b"EVIL\r\n", b"EVIL\r\nEVIL\r\n", b"EV", b"\r\n", b"x" * 8_000 + b"\r\n"],
    ids=["nothing", "a line", "two lines", "half a line", "an empty line", "a long line"],
)
def test_what_was_sent_before_the_handshake_is_dropped(
    run: Run, server_side: ssl.SSLContext, client_side: ssl.SSLContext, injected: bytes
) -> None:
    async def scene() -> Server:
        async with Server(guarded(server_side)) as server:
            answer = await asyncio.to_thread(
                talk, server.address, client_side, b"STARTTLS\r\n" + injected, b"NOOP\r\n", False
            )
            assert answer == b"ok NOOP\r\n"
            await server.finished.wait()
            return server

    server = run(scene())
    assert server.lines == [(False, b"STARTTLS\r\n"), (True, b"NOOP\r\n")]
    # What the kernel still held back at that moment meets the handshake instead and breaks it, so all was counted.
    assert server.dropped == len(injected)


@pytest.mark.parametrize("hole", [naive, twin], ids=["plain start_tls", "weakened twin"])
def test_the_probe_sees_the_hole(
    run: Run,
    server_side: ssl.SSLContext,
    client_side: ssl.SSLContext,
    hole: Callable[[ssl.SSLContext], Upgrade],
) -> None:
    async def scene() -> list[tuple[bool, bytes]]:
        async with Server(hole(server_side)) as server:
            await asyncio.to_thread(talk, server.address, client_side, b"STARTTLS\r\nEVIL\r\n", b"NOOP\r\n", False)
            await server.finished.wait()
            return server.lines

    lines = run(scene())
    assert (True, b"EVIL\r\n") in lines, "the injected line is not taken for one sent under TLS: the test tests nothing"


def test_what_is_sent_between_go_ahead_and_handshake_breaks_the_handshake(
    run: Run, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    async def scene() -> Server:
        async with Server(guarded(server_side)) as server:
            with pytest.raises(OSError):
                await asyncio.to_thread(talk, server.address, client_side, b"STARTTLS\r\n", b"NOOP\r\n", True)
            await server.finished.wait()
            return server

    server = run(scene())
    assert server.lines == [(False, b"STARTTLS\r\n")]
    assert server.error is not None


LONG_GO_AHEAD = b"220-ready\r\n" * 800_000 + GO_AHEAD


def interrupt(address: tuple[str, int], context: ssl.SSLContext) -> None:
    """Inject while the server is still busy sending its go-ahead; read that in small pieces, then shake hands."""
    with socket.create_connection(address, 10) as plain:
        plain.sendall(b"STARTTLS\r\n")
        left = len(LONG_GO_AHEAD) - len(plain.recv(1000))
        plain.sendall(b"EVIL\r\n")
        while left:
            left -= len(plain.recv(min(left, 1 << 14)))
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b"NOOP\r\n")
            secure.recv(100)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # wrap_socket leaks if it is refused
def test_what_is_sent_while_the_go_ahead_is_being_written_is_not_read_as_a_command(
    run: Run, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    async def scene() -> Server:
        def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[int]:
            return upgrade_server(reader, writer, server_side, go_ahead=LONG_GO_AHEAD, timeout=10)

        async with Server(slow) as server:
            await asyncio.to_thread(interrupt, server.address, client_side)
            await server.finished.wait()
            return server

    server = run(scene())
    assert server.lines == [(False, b"STARTTLS\r\n")]
    assert server.error is not None


def flood(address: tuple[str, int]) -> None:
    with socket.create_connection(address, 10) as plain, contextlib.suppress(ConnectionError):
        plain.sendall(b"STARTTLS\r\n" + b"EVIL\r\n" * 100_000)
        while plain.recv(1 << 16):
            pass


def test_a_flood_behind_starttls_is_never_read_as_commands(run: Run, server_side: ssl.SSLContext) -> None:
    """More than the reader's buffer: reading is paused when the gate closes, and must not lock up or leak."""

    async def scene() -> Server:
        async with Server(guarded(server_side), limit=1024) as server:
            await asyncio.to_thread(flood, server.address)
            await server.finished.wait()
            return server

    assert run(scene()).lines == [(False, b"STARTTLS\r\n")]


def test_a_client_that_never_shakes_hands_is_dropped_in_time(run: Run, server_side: ssl.SSLContext) -> None:
    async def scene() -> Server:
        async with Server(guarded(server_side, timeout=0.2)) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(b"STARTTLS\r\n")
            assert await reader.readline() == GO_AHEAD
            await server.finished.wait()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
            return server

    server = run(scene())
    assert server.error is not None
    assert server.error.reason == "no TLS handshake within 0.2 seconds"


def test_large_data_flows_after_the_upgrade(run: Run, server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    """Flow control still holds the two ends together after the streams changed hands."""
    size = 3_000_000

    async def scene() -> int:
        received = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            await reader.readline()
            await upgrade_server(reader, writer, server_side, go_ahead=GO_AHEAD, timeout=10)
            while chunk := await reader.read(1000):
                received += len(chunk)
                if received == size:
                    writer.write(b"done\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=4096)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"STARTTLS\r\n")
            await reader.readline()
            await upgrade_client(reader, writer, client_side, server_hostname="localhost", timeout=10)
            writer.write(b"x" * size)
            await writer.drain()
            assert await reader.readline() == b"done\r\n"
            writer.close()
            await writer.wait_closed()
        return received

    assert run(scene()) == size


async def scripted(answers: bytes) -> tuple[asyncio.Server, tuple[str, int]]:
    """A server that answers the first line with `answers` and then only listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answers)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()


def test_a_client_refuses_answers_injected_before_the_handshake(run: Run, client_side: ssl.SSLContext) -> None:
    async def scene() -> None:
        server, address = await scripted(GO_AHEAD + b"250 injected\r\n")
        async with server:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"STARTTLS\r\n")
            assert await reader.readline() == GO_AHEAD
            with pytest.raises(TLSHandshakeError, match="14 bytes of plaintext"):
                await upgrade_client(reader, writer, client_side, server_hostname="localhost", timeout=10)
            assert writer.is_closing()

    run(scene())


def test_a_client_tells_why_a_certificate_was_refused(
    run: Run, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    async def scene() -> None:
        async with Server(guarded(server_side)) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(b"STARTTLS\r\n")
            assert await reader.readline() == GO_AHEAD
            with pytest.raises(TLSHandshakeError) as caught:
                await upgrade_client(reader, writer, client_side, server_hostname="other.example.org", timeout=10)
            assert caught.value.verification is not None
            assert "other.example.org" in caught.value.verification
            await server.finished.wait()
            assert server.error is not None

    run(scene())
