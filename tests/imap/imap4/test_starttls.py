"""STARTTLS and implicit TLS over real sockets; plaintext behind STARTTLS is never acted upon."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

Open = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def starttls(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, behind: bytes
) -> bytes:
    """Send STARTTLS with octets behind it, do the handshake, and give what is read inside TLS first."""
    await reader.readline()
    writer.write(b"a STARTTLS\r\n" + behind)
    assert (await reader.readline()).startswith(b"a OK Begin TLS")
    await writer.start_tls(context)
    writer.write(b"z NOOP\r\n")
    return await asyncio.wait_for(reader.readline(), 10)


async def test_starttls(imap_server: Any) -> None:
    server = await imap_server()
    reader, writer = await server.connect()
    assert await starttls(reader, writer, server.context, b"") == b"z OK NOOP completed.\r\n"
    writer.write(b"b CAPABILITY\r\n")
    capability = await reader.readline()
    assert b"STARTTLS" not in capability
    assert b"LOGINDISABLED" not in capability
    writer.close()


async def test_plaintext_behind_starttls_is_never_acted_upon(imap_server: Any) -> None:
    """The class of CVE-2011-0411: the connection ends instead."""
    server = await imap_server()
    reader, writer = await server.connect()
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        line = await starttls(reader, writer, server.context, b"x CAPABILITY\r\n")
        if not line:
            raise ConnectionError
    writer.close()


async def test_the_probe_sees_the_hole_on_the_weakened_twin(imap_server: Any) -> None:
    server = await imap_server(starttls_injection=True)
    reader, writer = await server.connect()
    line = await starttls(reader, writer, server.context, b"x CAPABILITY\r\n")
    assert line.startswith(b"* CAPABILITY"), "the injected command is answered inside TLS"
    writer.close()


async def test_implicit_tls(imap_server: Any) -> None:
    server = await imap_server()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.tls_port, ssl=server.context, server_hostname="localhost"
    )
    assert (await reader.readline()).startswith(b"* OK [CAPABILITY IMAP4rev1")
    writer.write(b"a LOGIN alice testpass\r\n")
    assert (await reader.readline()).startswith(b"a OK [CAPABILITY")
    writer.close()


async def test_a_slow_reader_does_not_grow_the_server(imap_server: Any, mail: Any) -> None:
    """Back-pressure: a FETCH waits for its reader instead of piling up answers."""
    mail.deliver("alice", *[b"Subject: big\r\n\r\n" + b"x" * 200_000 + b"\r\n"] * 40)
    server = await imap_server()
    reader, writer = await server.connect()
    writer.write(b"a LOGIN alice testpass\r\nb SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\n")
    async with asyncio.timeout(10):
        while not server.paused():
            await asyncio.sleep(0.01)
    total = 0
    while True:
        data = await asyncio.wait_for(reader.read(1 << 20), 10)
        total += len(data)
        if b"c OK" in data:
            break
    assert total > 40 * 200_000
    writer.close()


async def test_draining_lets_sessions_finish_and_closing_says_bye(imap_server: Any) -> None:
    server = await imap_server()
    reader, writer = await server.connect()
    await reader.readline()
    draining = asyncio.ensure_future(server.server.drain())
    await asyncio.sleep(0)
    writer.write(b"a NOOP\r\n")
    assert (await reader.readline()).startswith(b"a OK"), "a session goes on after its server stopped accepting"
    assert not draining.done()
    closing = asyncio.ensure_future(server.server.close_all())
    assert await asyncio.wait_for(reader.readline(), 10) == b"* BYE Server shutting down.\r\n"
    assert await reader.read() == b""
    writer.close()
    await asyncio.wait_for(asyncio.gather(draining, closing), 10)
