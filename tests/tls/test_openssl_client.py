"""Contexts against OpenSSL's own client, over an asyncio server."""

from __future__ import annotations

import asyncio
import queue
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tls.authority import Authority, Credentials
from tls.context import server_context
from tls.policy import Policy


@contextmanager
def tls_port(context: ssl.SSLContext) -> Iterator[int]:
    """An asyncio server in a thread that greets each TLS connection and waits for a line."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        with suppress(OSError):
            await reader.readline()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
        stop = asyncio.Event()
        started.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        async with server:
            await stop.wait()

    started: queue.Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, loop, stop = started.get(timeout=10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def s_client(port: int, *options: object) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *map(str, options)]
    done = subprocess.run(command, input="x\n", capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


@pytest.mark.interop
def test_openssl_s_client_verifies_the_server(server_side: ssl.SSLContext, authority: Authority) -> None:
    with tls_port(server_side) as port:
        ca = ("-CAfile", authority.certificate_file)
        assert "Verify return code: 0 (ok)" in s_client(port, *ca, "-verify_hostname", "mail.example.org")
        assert "hostname mismatch" in s_client(port, *ca, "-verify_hostname", "other.example.org")
        assert "Verify return code: 0 (ok)" not in s_client(port, "-no-CAfile", "-no-CApath")


@pytest.mark.interop
@pytest.mark.parametrize(
    ("option", "spoken"), [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]
)
def test_openssl_s_client_meets_the_floor(server_side: ssl.SSLContext, option: str, spoken: bool) -> None:
    with tls_port(server_side) as port:
        answer = s_client(port, option, "-cipher", "ALL:@SECLEVEL=0")
        assert ("hello" in answer) is spoken


@pytest.mark.interop
def test_openssl_s_client_speaks_tls_10_with_the_weakened_twin(server: Credentials) -> None:
    weak = server_context(server.certificate_file, server.key_file, Policy.from_postfix(">=TLSv1"))
    with tls_port(weak) as port:
        assert "hello" in s_client(port, "-tls1", "-cipher", "ALL:@SECLEVEL=0")


@pytest.mark.interop
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_resumes_a_session(server_side: ssl.SSLContext, tree: Path, version: str) -> None:
    with tls_port(server_side) as port:
        assert "\nNew, " in s_client(port, version, "-sess_out", tree / "session")
        assert "\nReused, " in s_client(port, version, "-sess_in", tree / "session")


@pytest.mark.interop
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("tickets", [True, False])
def test_session_tickets_can_be_turned_off(server: Credentials, version: str, tickets: bool) -> None:
    context = server_context(server.certificate_file, server.key_file, Policy(), session_tickets=tickets)
    with tls_port(context) as port:
        assert ("TLS session ticket:" in s_client(port, version)) is tickets
