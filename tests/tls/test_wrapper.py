"""The wrapper in both directions, in front of servers and programs, and its command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tls import wrapper as module
from tls.authority import Authority, Credentials
from tls.context import client_context, server_context
from tls.policy import Policy
from tls.wrapper import Endpoint, Program, Wrapper
from tls.wraptool import main

ECHO = "import sys\nprint('ready', *sys.argv[1:], flush=True)\nfor line in sys.stdin: print(line.upper(), end='', flush=True)\n"


@asynccontextmanager
async def wrapped(wrapper: Wrapper) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        drain = asyncio.Event()
        serving = asyncio.create_task(wrapper.serve([sock], drain))
        try:
            yield sock.getsockname()[1]
        finally:
            drain.set()
            await serving


@asynccontextmanager
async def echo(context: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    """A server that sends everything back, and closes when the client does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(1 << 16):
                writer.write(octets)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield Endpoint(*server.sockets[0].getsockname()[:2])


@pytest.fixture
def accepting(server: Credentials) -> ssl.SSLContext:
    return server_context(server.certificate_file, server.key_file, Policy())


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return client_context(Policy(), authority.certificate_file)


@asynccontextmanager
async def connected(
    port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_tls_before_a_plain_server(accepting: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    large = os.urandom(3 << 20)
    async with echo() as target, wrapped(Wrapper(target, accepting=accepting)) as port:
        async with connected(port, trusting) as (reader, writer):
            writer.write(large)
            assert await reader.readexactly(len(large)) == large


async def test_tls_before_a_plain_client(accepting: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with echo(accepting) as target, wrapped(Wrapper(target, connecting=trusting)) as port:
        async with connected(port) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.write_eof()
            assert await reader.read() == b""


async def test_an_impostor_gets_nothing(accepting: ssl.SSLContext, tmp_path: Path) -> None:
    stranger = client_context(Policy(), Authority.create(tmp_path / "ca").certificate_file)
    async with echo(accepting) as target, wrapped(Wrapper(target, connecting=stranger)) as port:
        async with connected(port) as (reader, writer):
            writer.write(b"secret")
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""


async def test_a_program_as_inetd_starts_it(accepting: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    program = Program(sys.executable, ["popd", "-c", ECHO, "with", "$(arguments)"])
    async with wrapped(Wrapper(program, accepting=accepting)) as port:
        async with connected(port, trusting) as (reader, writer):
            assert await reader.readline() == b"ready with $(arguments)\n"
            writer.write(b"abc\n")
            assert await reader.readline() == b"ABC\n"


async def test_what_is_no_handshake_ends_the_connection_only(
    accepting: ssl.SSLContext, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with echo() as target, wrapped(Wrapper(target, accepting=accepting)) as port:
        async with connected(port) as (reader, writer):
            writer.write(b"USER alice\r\nPASS secret\r\n" * 100)
            with contextlib.suppress(ConnectionResetError):
                assert b"alice" not in await reader.read()
        async with connected(port, trusting) as (reader, writer):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
    assert "secret" not in caplog.text


async def test_a_server_that_is_down_ends_the_connection(accepting: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with wrapped(Wrapper(Endpoint("127.0.0.1", 1), accepting=accepting)) as port:
        async with connected(port, trusting) as (reader, _):
            assert await reader.read() == b""


async def test_more_clients_than_there_is_room_for_wait(
    monkeypatch: pytest.MonkeyPatch, accepting: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 1)
    async with echo() as target, wrapped(Wrapper(target, accepting=accepting)) as port:
        async with connected(port, trusting):
            waiting = asyncio.create_task(asyncio.open_connection("127.0.0.1", port, ssl=trusting))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
        reader, writer = await waiting
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()


# The command line.


@pytest.fixture
def pem(server: Credentials, tmp_path: Path) -> Path:
    path = tmp_path / "stunnel.pem"
    path.touch(0o600)
    path.write_bytes(server.certificate_file.read_bytes() + server.key_file.read_bytes())
    return path


async def test_the_command_of_the_source(pem: Path, trusting: ssl.SSLContext) -> None:
    """`stunnel -p /etc/ssl/certs/stunnel.pem -d pop3s -l /usr/sbin/popd`, with a port that is free."""
    argv = ["-p", str(pem), "-d", "0", "-l", sys.executable, "--", "popd", "-c", ECHO]
    code = "import sys; from tls.wraptool import main; sys.exit(main(sys.argv[1:]))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    told = (await process.stdout.readline()).decode()
    async with connected(int(told.rpartition(":")[2]), trusting) as (reader, _):
        assert await reader.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("argv", "status", "why"),
    [
        (["-d", "1:2:3", "-r", "110"], 64, "needs its certificate"),
        (["-p", "PEM", "-d", "nosuchservice", "-r", "110"], 64, "no port and no service"),
        (["-p", "PEM", "-d", "99999", "-r", "110"], 64, "no port"),
        (["-p", "PEM", "-d", "0"], 64, "required"),
        (["-p", "PEM", "-d", "0", "-l", "/nonexistent"], 64, "not a program"),
        (["-p", "PEM", "-d", "0", "-r", "110", "--", "popd"], 64, "belong to a program"),
        (["-c", "-d", "0", "-l", "/bin/true"], 64, "remote server"),
        (["-p", "/nonexistent", "-d", "0", "-r", "110"], 78, "/nonexistent"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    argv: list[str], status: int, why: str, pem: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(pem) if word == "PEM" else word for word in argv]) == status
    assert why in capsys.readouterr().err


def test_a_key_that_others_can_read_is_refused(pem: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pem.chmod(0o644)
    assert main(["-p", str(pem), "-d", "0", "-r", "110"]) == 64
    assert "chmod 600" in capsys.readouterr().err


def test_a_port_that_is_taken(pem: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["-p", str(pem), "-d", str(port), "-r", "110"]) == 1
    assert capsys.readouterr().err == f"hardmail tlswrap: 127.0.0.1:{port}: Address already in use\n"
