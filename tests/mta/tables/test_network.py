"""tcp: and socketmap: tables over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mta.tables import Table, TableError, open_table
from mta.tables import network as module

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def opened(spec: str) -> AsyncIterator[Table]:
    table = open_table(spec)
    try:
        yield table
    finally:
        await table.aclose()


async def read_netstring(reader: asyncio.StreamReader) -> bytes:
    length = int((await reader.readuntil(b":"))[:-1])
    return (await reader.readexactly(length + 1))[:-1]


async def test_tcp_questions_and_answers() -> None:
    seen = list[bytes]()
    replies = {b"get a%20b\n": b"200 x%25%20y\n", b"get %C3%BC\n": b"200 %C3%BC\n", b"get gone\n": b"500 not found\n"}

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            seen.append(line)
            writer.write(replies.get(line, b"400 later\n"))

    async with serving(handler) as port, opened(f"tcp:127.0.0.1:{port}") as table:
        assert await table.lookup("a b") == "x% y"
        assert await table.lookup("ü") == "ü"
        assert await table.lookup("gone") is None
        with pytest.raises(TableError, match="400"):
            await table.lookup("other")
        assert await table.lookup("x" * 5000) is None
    assert seen[:3] == [b"get a%20b\n", b"get %C3%BC\n", b"get gone\n"]


async def test_a_line_break_in_a_key_cannot_make_a_second_question() -> None:
    seen = list[bytes]()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            seen.append(line)
            writer.write(b"500 none\n")

    async with serving(handler) as port, opened(f"tcp:127.0.0.1:{port}") as table:
        await table.lookup("a\nget b")
    assert seen == [b"get a%0Aget%20b\n"]


async def test_socketmap_questions_and_answers() -> None:
    replies = {b"m a": b"OK value", b"m b": b"NOTFOUND ", b"m c": b"TEMP busy", b"m d": b"PERM never", b"m e": b"WHAT"}

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                reply = replies[await read_netstring(reader)]
                writer.write(b"%d:%s," % (len(reply), reply))
        except asyncio.IncompleteReadError:
            return

    async with serving(handler) as port, opened(f"socketmap:inet:127.0.0.1:{port}:m") as table:
        assert await table.lookup("a") == "value"
        assert await table.lookup("b") is None
        for key in "cde":
            with pytest.raises(TableError):
                await table.lookup(key)
        assert await table.lookup("a") == "value"


async def test_socketmap_over_a_unix_socket(tmp_path: Path) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_netstring(reader)
        writer.write(b"4:OK x,")
        writer.close()

    server = await asyncio.start_unix_server(handle, tmp_path / "s")
    try:
        async with opened(f"socketmap:unix:{tmp_path}/s:m") as table:
            assert await table.lookup("a") == "x"
            # The server hangs up after each answer: the next question takes a new connection.
            assert await table.lookup("a") == "x"
    finally:
        server.close()


@pytest.mark.parametrize(
    "reply", [b"", b"x", b"5:OK x", b"999999999:x", b"-1:x,", b"4:OK xx", b"200 ", b"200 x" * 2000]
)
async def test_broken_servers_are_a_temporary_error(reply: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(reply)
        await writer.drain()

    async with serving(handler) as port:
        for spec in (f"tcp:127.0.0.1:{port}", f"socketmap:inet:127.0.0.1:{port}:m"):
            with pytest.raises(TableError):
                await open_table(spec).lookup("a")


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    done = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()

    async with serving(handler) as port:
        with pytest.raises(TableError, match="in time"):
            await open_table(f"tcp:127.0.0.1:{port}").lookup("a")
        done.set()


async def test_nobody_listens() -> None:
    with pytest.raises(TableError):
        await open_table("tcp:127.0.0.1:1").lookup("a")
