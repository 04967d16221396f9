"""COMPRESS=DEFLATE (RFC 4978) over real sockets, in the clear and over TLS, and what a hostile peer deflates."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import pytest

from imap.imap4.settings import Settings

COMPRESS = Settings(compress=True)


class Client:
    """Speaks IMAP, deflated once ``deflate`` was called."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.out: Any = None
        self.into: Any = None

    def deflate(self) -> None:
        self.out = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.into = zlib.decompressobj(-15)

    async def command(self, text: bytes) -> bytes:
        data = b"a " + text + b"\r\n"
        self.writer.write(data if self.out is None else self.out.compress(data) + self.out.flush(zlib.Z_SYNC_FLUSH))
        return await self.until(b"a ")

    async def until(self, start: bytes) -> bytes:
        """Read to the line that begins so, or to the end."""
        answer = b""
        async with asyncio.timeout(20):
            while not (answer.endswith(b"\r\n") and answer[:-2].rpartition(b"\n")[2].startswith(start)):
                data = await self.reader.read(1 << 16)
                if not data:
                    break
                answer += data if self.into is None else self.into.decompress(data)
        return answer


async def log_in(server: Any, *, tls: bool = False) -> Client:
    if tls:
        streams = await asyncio.open_connection("127.0.0.1", server.tls_port, ssl=server.context)
    else:
        streams = await asyncio.open_connection("127.0.0.1", server.port)
    client = Client(*streams)
    await client.until(b"* OK")
    assert b"COMPRESS=DEFLATE" in await client.command(b"LOGIN alice testpass")
    return client


@pytest.mark.parametrize("tls", [False, True])
async def test_both_directions_are_deflated(mail: Any, imap_server: Any, tls: bool) -> None:
    mail.deliver("alice", b"Subject: x\r\n\r\n" + b"again and again\r\n" * 20_000)
    client = await log_in(await imap_server(COMPRESS), tls=tls)
    assert b"OK Begin compression" in await client.command(b"COMPRESS DEFLATE")
    client.deflate()
    assert b"* 1 EXISTS" in await client.command(b"SELECT INBOX")
    answer = await client.command(b"FETCH 1 BODY.PEEK[TEXT]")
    assert answer.count(b"again and again\r\n") == 20_000
    text = b"y" * 300_000
    assert b"APPENDUID" in await client.command(b"APPEND INBOX {%d+}\r\n%b" % (len(text), text))
    assert b"NO [COMPRESSIONACTIVE]" in await client.command(b"COMPRESS DEFLATE")
    assert b"OK Logout completed" in await client.command(b"LOGOUT")
    client.writer.close()


async def test_it_is_refused_where_it_is_not_configured(imap_server: Any) -> None:
    server = await imap_server()
    streams = await asyncio.open_connection("127.0.0.1", server.port)
    client = Client(*streams)
    await client.until(b"* OK")
    assert b"BAD" in await client.command(b"COMPRESS DEFLATE")
    assert b"COMPRESS" not in await client.command(b"LOGIN alice testpass")
    assert b"BAD" in await client.command(b"COMPRESS DEFLATE")
    client.writer.close()


async def test_garbage_ends_the_connection(imap_server: Any) -> None:
    client = await log_in(await imap_server(COMPRESS))
    await client.command(b"COMPRESS DEFLATE")
    client.deflate()
    client.writer.write(b"\xff" * 64)
    assert b"* BYE Invalid compressed data." in await client.until(b"never")
    client.writer.close()


async def test_commands_behind_the_request_are_no_deflated_data(imap_server: Any) -> None:
    client = await log_in(await imap_server(COMPRESS))
    client.writer.write(b"a COMPRESS DEFLATE\r\nb NOOP\r\n")
    assert b"* BYE Data behind the request for compression." in await client.until(b"never")
    client.writer.close()


async def test_a_line_of_a_gigabyte_ends_at_its_limit(imap_server: Any) -> None:
    """A megabyte of deflated zeros is a thousand times as much: no more of it is held than a line may have."""
    client = await log_in(await imap_server(COMPRESS))
    await client.command(b"COMPRESS DEFLATE")
    client.deflate()
    bomb = client.out.compress(b"a NOOP " + b"0" * (64 << 20)) + client.out.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 100_000
    client.writer.write(bomb)
    assert b"a BAD " in await client.until(b"a ")
    client.writer.close()
