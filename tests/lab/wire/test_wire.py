"""The probe clients say exactly what they are told, and their transcripts hold every line but no secret."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from lab.wire import IMAP, POP3, SMTP, Refused, Transcript, WireClosed, WireError
from lab.wire.trap import Trap

Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(session: Session) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await session(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(*answers: bytes, seen: list[bytes] | None = None) -> Session:
    """A server that greets with the first answer and gives the next one to each line."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            writer.write(answer)
            await writer.drain()
            line = await reader.readline()
            if seen is not None:
                seen.append(line)
            if not line:
                break

    return session


async def test_smtp_multiline_reply_and_keywords() -> None:
    async with serving(saying(b"220 a ESMTP\r\n", b"250-a\r\n250-SIZE 1000\r\n250 8BITMIME\r\n")) as port:
        async with await SMTP.open("127.0.0.1", port) as smtp:
            assert smtp.greeting.code == 220
            assert await smtp.ehlo() == {"SIZE": "1000", "8BITMIME": ""}


async def test_smtp_reply_without_a_text() -> None:
    """RFC 5321 section 4.2 lets a server leave it out, with its space."""
    async with serving(saying(b"220\r\n", b"250-a\r\n250\r\n")) as port:
        async with await SMTP.open("127.0.0.1", port) as smtp:
            assert (smtp.greeting.code, smtp.greeting.lines) == (220, ("",))
            assert (await smtp.command("EHLO x")).lines == ("a", "")


async def test_imap_words_in_any_case() -> None:
    async with serving(saying(b"* OK hi\r\n", b"* capability IMAP4rev1 idle\r\na1 ok done\r\n")) as port:
        async with await IMAP.open("127.0.0.1", port) as imap:
            assert await imap.capabilities() == {"IMAP4REV1", "IDLE"}


async def test_smtp_password_is_sent_but_not_written_down() -> None:
    seen: list[bytes] = []
    async with serving(saying(b"220 a\r\n", b"235 2.7.0 ok\r\n", b"", seen=seen)) as port:
        async with await SMTP.open("127.0.0.1", port) as smtp:
            reply = await smtp.auth_plain("alice", "s3cret-s3cret")
            assert reply.enhanced == "2.7.0"
            assert "czNjcmV0" not in str(smtp.transcript)
            assert "s3cret" not in str(smtp.transcript)
    assert seen[0] == b"AUTH PLAIN AGFsaWNlAHMzY3JldC1zM2NyZXQ=\r\n"


async def test_what_is_not_smtp_is_an_error() -> None:
    async with serving(saying(b"hello there\r\n")) as port:
        with pytest.raises(WireError, match="not an SMTP reply"):
            await SMTP.open("127.0.0.1", port)


async def test_refused_and_closed_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Refused, match="connection refused"):
        await SMTP.open("127.0.0.1", port)
    async with serving(saying()) as port:
        with pytest.raises(WireClosed):
            await SMTP.open("127.0.0.1", port)


async def test_imap_literal_belongs_to_its_response() -> None:
    literal = b"* 1 FETCH (BODY[] {5}\r\nab\r\nc FLAGS ())\r\na1 OK [X-Y] done\r\n"
    async with serving(saying(b"* OK hi\r\n", literal)) as port:
        async with await IMAP.open("127.0.0.1", port) as imap:
            response = await imap.command("FETCH 1 BODY[]")
    assert (response.status, response.code) == ("OK", "X-Y")
    assert response.untagged == (b"* 1 FETCH (BODY[] {5}\r\nab\r\nc FLAGS ())",)


async def test_pop3_dots_are_unstuffed() -> None:
    async with serving(saying(b"+OK\r\n", b"+OK 2\r\n..a\r\nb\r\n.\r\n")) as port:
        async with await POP3.open("127.0.0.1", port) as pop3:
            assert await pop3.multiline("RETR 1") == ("+OK 2", [b".a", b"b"])


@pytest.mark.parametrize("verb", ["AUTH PLAIN AGEAYg==", "MAIL FROM:<>"])
async def test_the_trap_sees_only_credentials(verb: str) -> None:
    async with Trap(Transcript()) as trap, await SMTP.open("127.0.0.1", trap.port) as smtp:
        assert "AUTH" in await smtp.ehlo()
        await smtp.command(verb)
        assert trap.credentials == verb.startswith("AUTH")
    assert "AGEAYg" not in str(trap.transcript)


def test_transcript_shows_a_bare_line_feed() -> None:
    transcript = Transcript()
    transcript.client(b"a\n.\r\nb\r\n", tls=False)
    assert str(transcript) == "C: a\\n.\nC: b"
