"""So many clients are taken before log-in and in all; the oldest stranger makes way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from auth.dovecotconf import DovecotConfig
from imap.capacity import Capacity

Open = tuple[asyncio.StreamReader, asyncio.StreamWriter]

LOGIN = {"imap": b"a LOGIN alice testpass\r\n", "pop3": b"USER alice\r\nPASS testpass\r\n"}
BYE = {"imap": b"* BYE ", "pop3": b"-ERR "}


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("", Capacity(100, 1124)),
        ("service imap-login {\n service_count = 0\n client_limit = 3\n process_limit = 4\n}", Capacity(12, 1036)),
        ("service imap-login {\n process_limit = 5\n}\nservice imap {\n process_limit = 7\n}", Capacity(5, 12)),
    ],
)
def test_dovecot_conf_sets_it(tmp_path: Path, extra: str, expected: Capacity) -> None:
    conf = tmp_path / "dovecot.conf"
    conf.write_text(f"base_dir = {tmp_path}\n{extra}\n")
    assert Capacity.from_config(DovecotConfig.load(conf), "imap") == expected


async def start(serve: Any, protocol: str, capacity: Capacity) -> Any:
    from imap.imap4.service import sessions as imap_sessions
    from imap.imap4.settings import Settings as ImapSettings
    from imap.pop3.service import sessions as pop3_sessions
    from imap.pop3.session import Settings as Pop3Settings

    make = {
        "imap": lambda service: imap_sessions(service, ImapSettings()),
        "pop3": lambda service: pop3_sessions(service, Pop3Settings()),
    }
    return await serve(protocol, make[protocol], capacity)


async def client(server: Any) -> Open:
    """A connection that was greeted."""
    reader, writer = await server.connect()
    assert b"OK" in await asyncio.wait_for(reader.readline(), 10)
    return reader, writer


async def log_in(protocol: str, opened: Open) -> None:
    opened[1].write(LOGIN[protocol])
    while b"Logged in" not in (line := await asyncio.wait_for(opened[0].readline(), 10)):
        assert line


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_the_oldest_stranger_makes_way(serve: Any, protocol: str) -> None:
    server = await start(serve, protocol, Capacity(2, 10))
    user, oldest, older = await client(server), await client(server), None
    await log_in(protocol, user)
    older = await client(server)
    newest = await client(server)
    assert await asyncio.wait_for(oldest[0].read(), 10) == BYE[protocol] + b"Connection queue full\r\n"
    for reader, writer in (user, older, newest):
        writer.write(b"x NOOP\r\n" if protocol == "imap" else b"CAPA\r\n")
        assert b"OK" in await asyncio.wait_for(reader.readline(), 10)
    for _, writer in (user, oldest, older, newest):
        writer.close()


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_where_all_have_logged_in_the_next_is_refused(serve: Any, protocol: str) -> None:
    server = await start(serve, protocol, Capacity(1, 1))
    user = await client(server)
    await log_in(protocol, user)
    reader, writer = await server.connect()
    expected = BYE[protocol] + b"Too many connections, try again later.\r\n"
    assert await asyncio.wait_for(reader.read(), 10) == expected
    writer.close()
    user[1].close()
    async with asyncio.timeout(10):
        while server.server.connections:
            await asyncio.sleep(0.01)
    again = await client(server)
    again[1].close()


async def test_a_stranger_in_its_handshake_makes_way_too(serve: Any) -> None:
    server = await start(serve, "imap", Capacity(1, 10))
    silent_reader, silent = await asyncio.open_connection("127.0.0.1", server.tls_port)
    async with asyncio.timeout(10):
        while not server.server.connections:
            await asyncio.sleep(0.01)
    _, writer = await client(server)
    with pytest.raises(ConnectionError):
        if not await asyncio.wait_for(silent_reader.read(), 10):
            raise ConnectionError
    silent.close()
    writer.close()


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_what_waits_behind_a_log_in_is_bounded(
    serve: Any, mail: Any, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """While the auth service thinks, a stranger's octets stay with the kernel; afterwards every one is read."""
    thinking, think = asyncio.Event(), mail.auth.authenticate

    async def slow(*arguments: Any, **details: Any) -> Any:
        await thinking.wait()
        return await think(*arguments, **details)

    monkeypatch.setattr(mail.auth, "authenticate", slow)
    server = await start(serve, protocol, Capacity(10, 10))
    reader, writer = await client(server)
    word = b"x NOOP\r\n" if protocol == "imap" else b"NOOP\r\n"
    count = 400_000 // len(word)
    writer.write(LOGIN[protocol] + word * count)
    session = next(iter(server.server.connections)).session
    async with asyncio.timeout(10):
        while not session.is_full:
            await asyncio.sleep(0.01)
    for _ in range(50):  # more turns of the loop than it takes to read everything
        await asyncio.sleep(0)
    assert session.buffered < 300_000
    thinking.set()
    answers = 0
    async with asyncio.timeout(30):
        while answers < count:
            line = await reader.readline()
            assert line
            answers += line.startswith((b"x OK", b"+OK"))
    writer.close()
