"""Where a mail ends: CR LF . CR LF, wherever the input is cut, and nowhere else (CVE-2023-51764)."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.lmtp.wire import ConnectionClosed, DotReader, LineTooLong, Wire


def read(data: bytes, cuts: list[int], limit: int = 10_000) -> tuple[bytes, bytes | None, bool]:
    """(message, rest, too large) of data fed in pieces."""
    reader = DotReader(limit)
    points = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    for start, end in itertools.pairwise(points):
        rest = reader.feed(data[start:end])
        if rest is not None:
            return reader.message(), rest + data[end:], reader.too_large
    return reader.message(), None, reader.too_large


@pytest.mark.parametrize(
    ("wire", "message", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"a\r\n.\r\nMAIL", b"a\r\n", b"MAIL"),
        (b"a\r\n..\r\n...\r\n.b\r\n.\r\n", b"a\r\n.\r\n..\r\nb\r\n", b""),
    ],
)
def test_the_end(wire: bytes, message: bytes, rest: bytes) -> None:
    for cut in range(len(wire) + 1):
        assert read(wire, [cut]) == (message, rest, False)


@pytest.mark.parametrize(
    "fake", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\r\n", b"\r\n\x00.\r\n"]
)
def test_what_is_no_end(fake: bytes) -> None:
    wire = b"one" + fake + b"MAIL FROM:<x@y>\r\nRCPT TO:<z>\r\n.\r\nQUIT"
    message, rest, _ = read(wire, [])
    assert rest == b"QUIT"
    assert b"MAIL FROM:<x@y>" in message


@given(st.lists(st.sampled_from([b"a", b".", b"\r", b"\n", b"\r\n", b"\r\n."]), max_size=30), st.lists(st.integers(0)))
def test_stuffed_text_comes_out_whole_however_cut(pieces: list[bytes], cuts: list[int]) -> None:
    text = b"".join(pieces) + b"\r\n"
    stuffed = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
    assert read(stuffed + b"NOOP", cuts) == (text, b"NOOP", False)


def test_too_large_is_read_to_its_end_in_bounded_memory() -> None:
    reader = DotReader(1000)
    for _ in range(1000):
        assert reader.feed(b"x" * 998 + b"\r\n") is None
        assert len(reader._data) < 3000
    assert reader.feed(b".\r\nNOOP") == b"NOOP"
    assert reader.too_large


def _wire(data: bytes) -> Wire:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return Wire(stream)


async def test_lines_data_and_chunks_share_one_buffer() -> None:
    wire = _wire(b"DATA\r\nmail\r\n.\r\nBDAT 5\nab\r\ncNOOP\r\n")
    assert await wire.line(100) == b"DATA"
    assert await wire.dot_data(100) == b"mail\r\n"
    assert await wire.line(100) == b"BDAT 5"
    assert await wire.chunk(5, 3) == b"ab\r"
    assert await wire.line(100) == b"NOOP"
    with pytest.raises(ConnectionClosed):
        await wire.line(100)


async def test_long_lines_are_thrown_away() -> None:
    wire = _wire(b"x" * 500_000 + b"\r\nNOOP\r\n")
    with pytest.raises(LineTooLong):
        await wire.line(100)
    assert await wire.line(100) == b"NOOP"


async def test_what_was_read_ahead_can_be_dropped() -> None:
    wire = _wire(b"STARTTLS\r\nMAIL FROM:<evil>\r\n")
    await wire.line(100)
    assert wire.drop() == 18
