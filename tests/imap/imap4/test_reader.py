"""Octets to commands: bounded, linear, the same however they are cut."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.imap4.errors import Bad, ParseError, TooBig
from imap.imap4.reader import MAX_RESPONSE, Command, CommandReader, Continue, Literal, Refused


def admit(pieces: Sequence[bytes], size: int, binary: bool) -> None:
    if size > 100:
        raise Bad("Literal size too large")


def read(data: bytes, *, max_line: int = 200) -> list[object]:
    return read_pieces([data], max_line=max_line)


def read_pieces(pieces: Sequence[bytes], *, max_line: int = 200) -> list[object]:
    reader = CommandReader(max_line, admit)
    events: list[object] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next()) is not None:
            events.append((event.start, str(event.error), event.fatal) if isinstance(event, Refused) else event)
    return events


@pytest.mark.parametrize(
    ("wire", "commands"),
    [
        (b"a NOOP\r\n", [(b"a NOOP",)]),
        (b"a NOOP\n", [(b"a NOOP",)]),
        (b"a NOOP\r\nb NOOP\r\n", [(b"a NOOP",), (b"b NOOP",)]),
        (b"a LOGIN {3+}\r\nabc {1+}\r\nx\r\n", [(b"a LOGIN ", b"abc", b" ", b"x", b"")]),
        (b"a APPEND x {7+}\r\na\r\nb\r\nc\r\n", [(b"a APPEND x ", b"a\r\nb\r\nc", b"")]),
        (b'a LOGIN "x{3+}\r\n', [(b'a LOGIN "x{3+}',)]),  # inside a quoted string that never ends: no literal
        (b"a LOGIN x{3+}\r\n", [(b"a LOGIN x{3+}",)]),  # inside an atom: no literal
        (b'a LOGIN "a\\"" {1+}\r\nx\r\n', [(b'a LOGIN "a\\"" ', b"x", b"")]),
        (b"a X ~{2+}\r\n\0\1\r\n", [(b"a X ", b"\0\1", b"")]),
        (b"a X {0+}\r\n\r\n", [(b"a X ", b"", b"")]),
    ],
)
def test_commands(wire: bytes, commands: list[tuple[bytes, ...]]) -> None:
    assert read(wire) == [Command(pieces) for pieces in commands]


def test_a_synchronizing_literal_waits_for_the_go_ahead() -> None:
    assert read(b"a LOGIN {3}\r\nabc x\r\n") == [Continue(), Command((b"a LOGIN ", b"abc", b" x"))]


def test_a_literal8_says_that_it_is_one() -> None:
    (command,) = read(b"a X ~{1+}\r\n\0\r\n")
    assert isinstance(command, Command)
    literal = command.pieces[1]
    assert isinstance(literal, Literal)
    assert literal.binary


@pytest.mark.parametrize("size", [b"-1", b"+1", b"1.0", b"0x1", b"", b" 1", b"1 ", b"\xd9\xa1"])
def test_literal_sizes_are_digits_only(size: bytes) -> None:
    wire = b"a X {" + size + b"}\r\n"
    assert read(wire) == [Command((wire[:-2],))]


def test_a_refused_literal_is_never_kept() -> None:
    assert read(b"a APPEND x {101}\r\nb NOOP\r\n") == [
        (b"a APPEND x ", "Literal size too large", False),
        Command((b"b NOOP",)),
    ]


def test_a_refused_literal_on_the_way_is_thrown_away() -> None:
    """Its octets must not be taken for commands."""
    evil = b"b LOGOUT\r\n" * 20
    events = read(b"a APPEND x {%d+}\r\n%b\r\nc NOOP\r\n" % (len(evil), evil))
    assert events == [(b"a APPEND x ", "Literal size too large", False), Command((b"c NOOP",))]


def test_an_endless_literal_on_the_way_ends_the_connection() -> None:
    assert read(b"a APPEND x {99999999999999999999+}\r\n") == [(b"a APPEND x ", "Literal size too large", True)]


def test_a_line_that_is_too_long_is_refused_once_and_skipped() -> None:
    events = read_pieces([b"a X ", *[b"y" * 90] * 10, b"\r\nb NOOP\r\n"])
    assert [type(event) for event in events] == [tuple, Command]
    assert events[1] == Command((b"b NOOP",))


def test_what_is_kept_of_an_endless_line_is_bounded() -> None:
    reader = CommandReader(1000, admit)
    for _ in range(1000):
        reader.feed(b"x" * 1000)
        while reader.next() is not None:
            pass
        assert reader.buffered <= 2000


def test_many_lines_of_one_command_are_bounded_together() -> None:
    events = read(b"a X" + b" {1+}\r\nx" * 200 + b"\r\n")
    assert events[0] == (b"a X ", "Too long argument.", False)


def test_clear_forgets_everything() -> None:
    reader = CommandReader(200, admit)
    reader.feed(b"a LOGIN {5+}\r\nab")
    assert reader.next() is None
    assert reader.clear() > 0
    reader.feed(b"b NOOP\r\n")
    assert reader.next() == Command((b"b NOOP",))


@given(
    st.lists(
        st.sampled_from(
            [b"a ", b"NOOP", b'"', b"\\", b"{3+}", b"{2}", b"~{1+}", b"\r\n", b"\n", b"xyz", b"(", b"\0", b"{999+}"]
        ),
        max_size=30,
    )
)
def test_whole_and_cut_at_every_octet_are_equal(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert read(data) == read_pieces([data[i : i + 1] for i in range(len(data))])


@given(st.binary(max_size=300))
def test_any_octets_give_events_and_nothing_else(data: bytes) -> None:
    for event in read(data):
        assert isinstance(event, Command | Continue | tuple)


def test_reading_is_linear() -> None:
    def seconds(count: int) -> float:
        reader = CommandReader(1 << 30, admit)
        started = time.process_time()
        for _ in range(count):
            reader.feed(b'"' + b"x" * 100)
            reader.next()
        reader.feed(b" {5}\r\n")
        reader.next()
        return time.process_time() - started

    seconds(100)
    small, large = min(seconds(2000) for _ in range(3)), seconds(16000)
    assert large < 40 * small + 0.05


def test_take_line_reads_outside_of_commands() -> None:
    reader = CommandReader(20, admit)
    reader.feed(b"DO")
    assert reader.take_line() is None
    reader.feed(b"NE\r\na NOOP\r\n")
    assert reader.take_line() == b"DONE"
    assert reader.next() == Command((b"a NOOP",))
    reader.feed(b"x" * (MAX_RESPONSE + 1))
    with pytest.raises(ParseError):
        reader.take_line()


def test_the_literals_of_one_command_are_bounded_together() -> None:
    reader = CommandReader(4096, lambda pieces, size, binary: None, max_literals=8)
    reader.feed(b"a LOGIN {5+}\r\nalice {4+}\r\n")
    refused = reader.next()
    assert isinstance(refused, Refused)
    assert refused.fatal
    assert isinstance(refused.error, TooBig)
