"""A tap passes everything on, and keeps a copy of what passes."""

from __future__ import annotations

import asyncio

from lab.wire import Tap


async def test_both_directions_and_both_ends() -> None:
    peers = list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        writer.write(b"heard: " + await reader.read())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()[:2]
        async with Tap(target, "127.0.0.3") as tap:
            reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
            writer.write(b"a secret")
            writer.write_eof()
            assert await reader.read() == b"heard: a secret"
            writer.close()
            await writer.wait_closed()
            assert tap.heard("a secret")
            assert tap.heard("heard: a")
            assert not tap.heard("another secret")
            assert tap.octets == len(b"a secret") + len(b"heard: a secret")
    assert peers == ["127.0.0.3"]


async def test_connections_end_with_the_tap() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        async with Tap(server.sockets[0].getsockname()[:2]) as tap:
            reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
            writer.write(b"x")
            while not tap.octets:
                await asyncio.sleep(0)
        await asyncio.wait_for(ended.wait(), 10)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async with Tap(("127.0.0.1", 1)) as tap:
        reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
