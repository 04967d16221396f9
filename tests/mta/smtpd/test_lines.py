"""Command lines: bounded, cut anywhere, whatever ends them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtpd.lines import InputBuffer


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (b"NOOP\r\n", [b"NOOP"]),
        (b"NOOP\n", [b"NOOP"]),
        (b"NOOP\r\r\n", [b"NOOP"]),
        (b"\r\n\n", [b"", b""]),
        (b"a\rb\r\n", [b"a\rb"]),
        (b"one\r\ntwo\r\nthr", [b"one", b"two"]),
        (b"12345678901\r\nx\r\n", [b"1234567890", b"x"]),
        (b"1234567890\r\n", [b"1234567890"]),
        (b"x" * 5000 + b"\r\nNOOP\r\n", [b"x" * 10, b"NOOP"]),
    ],
)
def test_lines(sent: bytes, lines: list[bytes]) -> None:
    for size in (1, 2, 3, len(sent)):
        buffer, found = InputBuffer(), []
        for start in range(0, len(sent), size):
            buffer.feed(sent[start : start + size])
            while (line := buffer.line(10)) is not None:
                found.append(line)
            assert len(buffer) <= 10 + size, "an endless line is not kept"
        assert found == lines


def test_a_bare_newline_is_noticed() -> None:
    buffer = InputBuffer()
    buffer.feed(b"a\nb\r\n")
    assert buffer.line(100) == b"a"
    assert buffer.bare_newline
    assert buffer.line(100) == b"b"
    assert not buffer.bare_newline


def test_octets_and_what_was_put_back() -> None:
    buffer = InputBuffer()
    buffer.feed(b"abcdef")
    assert buffer.take(2) == b"ab"
    assert buffer.take_all() == b"cdef"
    buffer.feed(b"later")
    buffer.put_back(b"first ")
    assert buffer.take_all() == b"first later"
    buffer.feed(b"MAIL FROM:<x>\r\n")
    assert buffer.clear() == 15
    assert len(buffer) == 0
    assert buffer.line(10) is None


@given(st.binary(max_size=200), st.integers(1, 20))
def test_no_octets_break_it(octets: bytes, limit: int) -> None:
    buffer = InputBuffer()
    for octet in octets:
        buffer.feed(bytes([octet]))
        line = buffer.line(limit)
        assert line is None or (len(line) <= limit and b"\n" not in line)
