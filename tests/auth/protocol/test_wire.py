"""Words and lines: escaping is undone exactly, numbers are digits only, memory is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.protocol import wire


@given(st.text())
def test_escaping_is_undone(text: str) -> None:
    escaped = wire.escape(text)
    assert wire.unescape(escaped) == text
    assert not set(escaped) & set("\t\n\r\0")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("0", 0),
        ("7", 7),
        ("007", 7),
        ("4294967295", 2**32 - 1),
        ("4294967296", None),
        ("-1", None),
        ("+1", None),
        ("", None),
        (" 1", None),
        ("１", None),
        ("1\n", None),
        ("9" * 5000, None),
    ],
)
def test_numbers_are_digits_only(word: str, value: int | None) -> None:
    assert wire.number(word) == value


@pytest.mark.parametrize(
    ("word", "data"),
    [
        ("", b""),
        ("=", b""),
        ("YQ==", b"a"),
        (" YQ==\r", b"a"),
        ("YQ=", None),
        ("YQ", None),
        ("Y_-=", None),
        ("ä", None),
    ],
)
def test_base64(word: str, data: bytes | None) -> None:
    assert wire.decode_base64(word) == data


def test_lines_as_dovecot_reads_them() -> None:
    assert list(wire.LineBuffer(64).feed(b"a\r\nb\0c\nd")) == [b"a", b"b"]


@given(st.binary(max_size=400))
def test_the_buffer_never_grows_beyond_its_limit(data: bytes) -> None:
    buffer = wire.LineBuffer(32)
    try:
        for n in range(0, len(data), 7):
            for line in buffer.feed(data[n : n + 7]):
                assert len(line) < 32
    except wire.ProtocolError:
        assert any(len(part) >= 31 for part in data.split(b"\n"))
    assert len(buffer._rest) < 32
