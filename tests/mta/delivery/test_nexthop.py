"""Next hops in every form that main.cf and transport(5) know, and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.smtp.nexthop import NexthopError, parse, parse_list, parse_lmtp


@pytest.mark.parametrize(
    ("text", "host", "port", "literal"),
    [
        ("example.com", "example.com", 25, False),
        ("example.com:587", "example.com", 587, False),
        ("[mail.example.com]", "mail.example.com", 25, True),
        ("[mail.example.com]:submission", "mail.example.com", 587, True),
        ("[127.0.0.1]:2525", "127.0.0.1", 2525, True),
        ("[::1]:25", "::1", 25, True),
        ("[ipv6:2001:db8::1]", "2001:db8::1", 25, True),
        ("2001:db8::1", "2001:db8::1", 25, False),
        ("bücher.example", "bücher.example", 25, False),
        ("localhost", "localhost", 25, False),
    ],
)
def test_forms(text: str, host: str, port: int, literal: bool) -> None:
    found = parse(text, "smtp")
    assert (found.host, found.port, found.literal, found.text) == (host, port, literal, text)


MISTAKES = (
    *("", "[", "[]", "[a", "[a]b", "[a]:", "a:", "a:0", "a:65536", "a:1234567", "a:-1", "a:nosuchservice", "a b"),
    *("a_b:x y", "x" * 2000, "-a..b", "[a]:25:26", "[a\n]", "a\0b"),
)


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes(text: str) -> None:
    with pytest.raises(NexthopError):
        parse(text, "smtp")


def test_a_list_is_tried_in_turn() -> None:
    assert [(d.host, d.port) for d in parse_list("[a]:1, b:2\tc", "smtp")] == [("a", 1), ("b", 2), ("c", 25)]


@pytest.mark.parametrize(
    ("text", "path", "host", "port"),
    [
        ("unix:private/dovecot-lmtp", "private/dovecot-lmtp", "", 0),
        ("unix:/run/lmtp", "/run/lmtp", "", 0),
        ("inet:127.0.0.1:24", "", "127.0.0.1", 24),
        ("inet:[::1]:2003", "", "::1", 2003),
        ("localhost", "", "localhost", 24),
    ],
)
def test_lmtp_forms(text: str, path: str, host: str, port: int) -> None:
    found = parse_lmtp(text)
    assert (found.path, found.host, found.port) == (path, host, port)


@given(st.one_of(st.text(max_size=80), st.from_regex(r"\[?[a-z0-9.:]{0,20}\]?:?[0-9a-z]{0,6}", fullmatch=True)))
def test_only_the_typed_error_escapes(text: str) -> None:
    for read in (lambda t: parse(t, "smtp"), lambda t: parse_list(t, "smtp"), parse_lmtp):
        with contextlib.suppress(NexthopError):
            read(text)


@given(st.from_regex(r"\[[a-z][a-z0-9]{0,10}(\.[a-z]{1,5}){0,3}\]:[1-9][0-9]{0,3}", fullmatch=True))
def test_what_is_right_is_understood(text: str) -> None:
    found = parse(text, "smtp")
    assert text == f"[{found.host}]:{found.port}"
