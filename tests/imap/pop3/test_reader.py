"""Lines of POP3: bounded, linear, the same however they are cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.pop3.reader import MAX_LINE, LineReader, LineTooLong


def read(pieces: Sequence[bytes]) -> list[bytes | None]:
    """The lines; None for one that was too long."""
    reader = LineReader()
    lines: list[bytes | None] = []
    for piece in pieces:
        reader.feed(piece)
        while True:
            try:
                line = reader.next()
            except LineTooLong:
                lines.append(None)
                continue
            if line is None:
                break
            lines.append(line)
    return lines


def test_lines() -> None:
    assert read([b"USER a\r\nPASS b c\n\r\nQU", b"IT\r", b"\n"]) == [b"USER a", b"PASS b c", b"", b"QUIT"]


def test_a_line_that_is_too_long_is_told_once_and_skipped() -> None:
    assert read([b"x" * MAX_LINE, b"y" * MAX_LINE, b"z" * MAX_LINE, b"\r\nNOOP\r\n"]) == [None, b"NOOP"]


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"NOOP", b"x" * (MAX_LINE // 2)]), max_size=12))
def test_whole_and_cut_are_equal(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    cut = read([data[i : i + 97] for i in range(0, len(data), 97)])
    assert cut == read([data[i : i + 1000] for i in range(0, len(data), 1000)])


def test_clear_forgets() -> None:
    reader = LineReader()
    reader.feed(b"STAT\r\nLI")
    assert reader.clear() == 8
    reader.feed(b"NOOP\r\n")
    assert reader.next() == b"NOOP"


@pytest.mark.parametrize("data", [b"", b"\r\n" * 3])
def test_empty(data: bytes) -> None:
    assert read([data]) == [b""] * (len(data) // 2)
