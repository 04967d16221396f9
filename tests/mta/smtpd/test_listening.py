"""How many sessions a master.cf line has at a time, and what becomes of those that come too many."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtpd.connection import Connection
from mta.smtpd.listening import Line, share
from tls.authority import Authority

Open = Callable[..., Awaitable[Line]]


@given(st.integers(1, 500), st.integers(1, 64))
def test_the_shares_of_all_workers_are_the_limit(limit: int, workers: int) -> None:
    shares = [share(limit, workers, number) for number in range(workers)]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1


@pytest.fixture
async def opened(start: Any) -> AsyncIterator[Open]:
    """Opens a line with so many sessions; `line.port` is its port."""
    lines: list[Line] = []

    async def open_line(limit: int, settings: str = "") -> Line:
        site = await start(settings)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        servers = (site.server, site.server.under_stress())
        lines.append(line := Line.of("smtp", [listener], limit, (1, 0), servers))
        line.open()
        return line

    yield open_line
    for line in lines:
        line.close()
        for connection in tuple(line.sessions):
            connection.close_politely()
        while tasks := {connection.task for connection in line.sessions}:
            await asyncio.wait(tasks)
    await asyncio.sleep(0)


async def connect(line: Line) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*line.sockets[0].getsockname())


async def test_who_comes_too_many_waits_for_a_session_to_end(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    line = await opened(2)
    caplog.set_level(logging.WARNING, "postfix.master")
    async with asyncio.timeout(10):
        clients = [await connect(line) for _ in range(4)]
        for reader, _ in clients[:2]:
            assert (await reader.readline()).startswith(b"220 ")
        waiting = [asyncio.create_task(reader.readline()) for reader, _ in clients[2:]]
        assert not (await asyncio.wait(waiting, timeout=0.2))[0]
        assert len(line.sessions) == 2
        clients[0][1].write(b"QUIT\r\n")
        assert (await waiting[0]).startswith(b"220 ")
        clients[1][1].transport.abort()
        assert (await waiting[1]).startswith(b"220 ")
    assert caplog.messages[0].startswith('service "smtp" has reached its process limit "2": new clients may')
    assert len(caplog.messages) == 3  # told once, not for every client
    for _, writer in clients:
        writer.transport.abort()


async def test_those_who_wait_are_taken_together(opened: Open) -> None:
    line = await opened(0)
    clients = [socket.create_connection(line.sockets[0].getsockname(), 10) for _ in range(3)]
    async with asyncio.timeout(10):
        while not line.sessions:
            await asyncio.sleep(0)
    assert len(line.sessions) == 3
    for client in clients:
        client.close()


async def test_those_who_come_to_a_full_line_are_served_under_stress(opened: Open) -> None:
    line = await opened(1)
    async with asyncio.timeout(10):
        first = await connect(line)
        await first[0].readline()
        (connection,) = line.sessions
        assert (connection.session.stress, connection.server.timeout) == ("", 5)
        second = await connect(line)
        first[1].transport.abort()
        await second[0].readline()
        (connection,) = line.sessions
        assert (connection.session.stress, connection.server.hard_error_limit) == ("yes", 1)
        second[1].write(b"BOGUS\r\n")
        assert (await second[0].readline()).startswith(b"500 ")
        assert (await second[0].readline()).startswith(b"421 4.7.0 ")
    second[1].transport.abort()


@pytest.mark.parametrize(
    ("wrapper", "said"),
    [
        ("yes", [b"no handshake\r\n\r\n"]),
        ("yes", []),
        ("no", [b"EHLO x\r\n", b"STARTTLS\r\n", b"no handshake\r\n\r\n"]),
        ("no", [b"EHLO x\r\n", b"STARTTLS\r\n"]),
        ("no", [b"EHLO x\r\nSTARTTLS\r\n\x16\x03\x01\x00\x05"]),
        ("no", [b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nhalf a line"]),
    ],
)
async def test_every_end_makes_room(opened: Open, tmp_path: Path, wrapper: str, said: list[bytes]) -> None:
    leaf = Authority.create(tmp_path / "ca").issue_server(["localhost"])
    line = await opened(
        1,
        f"smtpd_tls_security_level = may\nsmtpd_tls_wrappermode = {wrapper}\n"
        f"smtpd_tls_cert_file = {leaf.certificate_file}\nsmtpd_tls_key_file = {leaf.key_file}\n",
    )
    async with asyncio.timeout(10):
        for _ in range(3):
            _, writer = await connect(line)
            while not line.sessions:
                await asyncio.sleep(0.01)
            for octets in said:
                writer.write(octets)
                await asyncio.sleep(0.02)
            writer.transport.abort()
            while line.sessions:
                await asyncio.sleep(0.01)


class Deaf(asyncio.Transport):
    """A client that takes nothing."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 4711), "sockname": ("127.0.0.1", 25)})
        self.unsent = 0
        self.aborted = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unsent += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.aborted.set()


async def test_a_client_that_does_not_listen_keeps_its_session_until_it_is_cut_off(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mta.smtpd.connection.FAREWELL_SECONDS", 0.05)
    ended: list[Connection] = []
    connection, transport = Connection((await start()).server, ended.append), Deaf()
    connection.connection_made(transport)
    connection.data_received(b"QUIT\r\n")
    async with asyncio.timeout(10):
        await asyncio.wait({connection.task})
        assert not ended
        await transport.aborted.wait()
    connection.connection_lost(None)
    assert ended == [connection]
