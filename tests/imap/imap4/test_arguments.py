"""Arguments of commands: the tree, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.imap4.arguments import MAX_NESTING, Arguments, Atom, Group, Quoted, parse
from imap.imap4.errors import Bad, ParseError
from imap.imap4.reader import Literal


def tree(text: bytes) -> list[object]:
    def plain(items: Group) -> list[object]:
        return [plain(item) if isinstance(item, Group) else bytes(item) for item in items]

    return plain(parse((text,), 0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b" INBOX", [b"INBOX"]),
        (b'  "two words"   x ', [b"two words", b"x"]),
        (b'"a\\"b\\\\c\\d"', [b'a"b\\cd']),
        (b"(a (b c) ()) d", [[b"a", [b"b", b"c"], []], b"d"]),
        (b"BODY[HEADER.FIELDS (a)]<0.1>", [b"BODY[HEADER.FIELDS", [b"a"], b"]<0.1>"]),
        (b"1:* \\Seen +FLAGS %*", [b"1:*", b"\\Seen", b"+FLAGS", b"%*"]),
        ('"ä"'.encode(), ["ä".encode()]),
    ],
)
def test_tree(text: bytes, expected: list[object]) -> None:
    assert tree(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"(a", "Missing ')'"),
        (b"a)", "Unexpected ')'"),
        (b'"abc', "Missing '\"'"),
        (b"a{3}", "Invalid characters in atom"),
        (b'x "a\0b"', "Missing '\"'"),
        (b"\xc3\xa4", "8bit data in atom"),
        (b"(" * (MAX_NESTING + 1) + b")" * (MAX_NESTING + 1), "Too many nested parentheses."),
    ],
)
def test_refused(text: bytes, complaint: str) -> None:
    with pytest.raises(ParseError, match="^" + complaint.replace("(", r"\(").replace(")", r"\)")):
        parse((text,), 0)


@given(st.lists(st.one_of(st.binary(max_size=40), st.binary(max_size=5).map(Literal)), min_size=1, max_size=5))
def test_only_the_parse_error_escapes(pieces: list[bytes]) -> None:
    try:
        items = parse([b"", *pieces], 0)
    except ParseError:
        return
    assert isinstance(items, Group)


def test_the_cursor_types_what_it_takes() -> None:
    arguments = Arguments([Atom(b"x"), Quoted(b"y"), Atom(b"nil"), Literal(b"z"), Group([Atom(b"7")])])
    assert arguments.word() == "X"
    assert arguments.astring() == b"y"
    assert arguments.nstring() is None
    assert arguments.nstring() == b"z"
    assert arguments.group().number() == 7
    assert not arguments.more()
    with pytest.raises(Bad, match="Missing"):
        arguments.atom()


@pytest.mark.parametrize("text", [b"-1", b"+1", b"1_0", b" 1", b"9223372036854775808", b"1" * 30, b"x", b"\xb2"])
def test_numbers_are_digits_only_and_bounded(text: bytes) -> None:
    with pytest.raises(Bad):
        Arguments([Atom(text)]).number()
