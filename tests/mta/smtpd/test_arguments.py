"""Words of commands, numbers and xtext from the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtpd.arguments import is_digits, split_command, unxtext


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("   ", []),
        ("NOOP", ["NOOP"]),
        (" noop\t x ", ["noop", "x"]),
        ("MAIL FROM:<a@b>", ["MAIL", "FROM:", "<a@b>"]),
        ("MAIL FROM: <a@b> SIZE=10", ["MAIL", "FROM:", "<a@b>", "SIZE=10"]),
        ("MAIL FROM:a@b", ["MAIL", "FROM:", "a@b"]),
        ("MAIL FROM :<a@b>", ["MAIL", "FROM", ":<a@b>"]),
        ("RCPT to:<a@b>", ["RCPT", "to:", "<a@b>"]),
        ('MAIL FROM:<"a b"@c> X', ["MAIL", "FROM:", '<"a b"@c>', "X"]),
        ("MAIL FROM:<a b@c>", ["MAIL", "FROM:", "<a b@c>"]),
        ('MAIL FROM:<"a> b"@c>', ["MAIL", "FROM:", '<"a> b"@c>']),
        ("MAIL FROM:<a (x > y)@c>", ["MAIL", "FROM:", "<a (x > y)@c>"]),
        (r"MAIL FROM:<a\>b@c>", ["MAIL", "FROM:", r"<a\>b@c>"]),
        ("MAIL FROM:A Name <a@b>", ["MAIL", "FROM:", "A", "Name", "<a@b>"]),
        ("RCPT TO:<a@b> ORCPT=rfc822;a:b", ["RCPT", "TO:", "<a@b>", "ORCPT=rfc822;a:b"]),
        ("MAILFROM:<a@b>", ["MAILFROM:<a@b>"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert [word.text for word in split_command(line)] == words


@pytest.mark.parametrize("line", ["MAIL FROM:<a@b", 'MAIL FROM:<"a@b>', "MAIL FROM:[x", 'MAIL FROM:"x'])
def test_what_is_opened_must_be_closed(line: str) -> None:
    assert split_command(line)[-1].unbalanced


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "٣", "1" * 21, "0x1", "1e3"])
def test_only_digits_are_numbers(text: str) -> None:
    assert not is_digits(text)


def test_digits() -> None:
    assert is_digits("0")
    assert is_digits("1" * 20)


@pytest.mark.parametrize(
    ("text", "decoded"),
    [("abc", "abc"), ("a+2Bb", "a+b"), ("a+20b", "a b"), ("+C3+A4", "ä"), ("a+", None), ("a+2", None), ("a+zz", None),
     ("a+0A", None), ("+FF", None), ("", "")],
)  # fmt: skip
def test_xtext(text: str, decoded: str | None) -> None:
    assert unxtext(text) == decoded


@given(st.text(max_size=60))
def test_any_line_gives_words_without_loss(line: str) -> None:
    words = split_command(line)
    assert "".join("".join(word.text for word in words).split()) == "".join(line.split())
    assert all(word.text for word in words)
