"""No octets crash a session, leak an exception's text, or make one message two; from several states, cut anywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STATES = {
    "greeted": b"",
    "introduced": b"EHLO x\r\n",
    "in a transaction": b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\n",
    "in the content": b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n",
}
WORDS = [
    *(
        b"HELO ",
        b"EHLO ",
        b"MAIL FROM:",
        b"RCPT TO:",
        b"DATA",
        b"BDAT ",
        b" LAST",
        b"RSET",
        b"NOOP",
        b"VRFY ",
        b"ETRN ",
    ),
    *(
        b"AUTH PLAIN ",
        b"STARTTLS",
        b"QUIT",
        b"<a@b.example>",
        b"<alice@example.com>",
        b"<>",
        b"<",
        b">",
        b'"',
        b"@",
        b":",
    ),
    *(
        b" SIZE=",
        b" BODY=8BITMIME",
        b" SMTPUTF8",
        b" NOTIFY=",
        b" ORCPT=rfc822;",
        b" ENVID=",
        b"+",
        b"10",
        b"-1",
        b"\r\n",
    ),
    *(
        b"\n",
        b"\r",
        b".\r\n",
        b"\r\n.\r\n",
        b"\0",
        b"\xff",
        "ä".encode(),
        b"x" * 3000,
        b"[127.0.0.1]",
        b"(",
        b"%",
        b"!",
    ),
]

FORBIDDEN = (b"Traceback", b"Error: internal", b"Exception", b"NoneType", b"codec", b"object at 0x")


class Wire:
    """A transport that keeps what is written, so that a session needs no socket and no time."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 4711), "sockname": ("127.0.0.1", 25)}.get(name, default)

    def write(self, octets: bytes) -> None:
        self.written += octets

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@pytest.mark.parametrize("state", STATES)
async def test_any_octets_in_any_pieces(start: Any, state: str) -> None:
    site = await start("smtpd_forbid_bare_newline = normalize\nsmtpd_forbid_bare_newline_exclusions =")
    connection_class = type(site).connection_class
    loop = asyncio.get_running_loop()

    async def session(octets: bytes, cuts: list[int]) -> tuple[bytes, int]:
        site.queue.messages.clear()
        wire, connection = Wire(), connection_class(site.server)
        connection.connection_made(wire)
        for begin, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            connection.data_received(octets[begin:end])
            await asyncio.sleep(0)
        connection.eof_received()
        async with asyncio.timeout(10):
            await asyncio.wait({connection.task})
        assert connection.task.exception() is None
        return bytes(wire.written), len(site.queue.messages)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=25), st.data())
    def examine(parts: list[bytes], data: st.DataObject) -> None:
        octets = STATES[state] + b"".join(parts)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
        examples.append((octets, cuts))

    examples: list[tuple[bytes, list[int]]] = []
    await loop.run_in_executor(None, examine)
    for octets, cuts in examples:
        whole, kept = await session(octets, [])
        pieces, kept_of_pieces = await session(octets, cuts)
        assert kept == kept_of_pieces, octets
        for written in (whole, pieces):
            assert not any(text in written for text in FORBIDDEN), (octets, written)
            assert all(line[:3].isdigit() for line in written.split(b"\r\n") if line), written
        if state == "in the content":
            ends = octets.count(b"\r\n.\r\n") + octets.count(b"LAST")
            assert kept <= ends, "a message that nobody ended"
