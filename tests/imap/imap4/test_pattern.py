"""LIST patterns: right, and linear where twisted.mail needs exponential time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.imap4.pattern import Pattern, parents


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a.b.c", True),
        ("%", "a", True),
        ("%", "a.b", False),
        ("%.%", "a.b", True),
        ("a*", "a", True),
        ("a*", "ab.c", True),
        ("a.%", "a.b.c", False),
        ("*c", "a.b.c", True),
        ("%*", "a.b", True),
        ("inbox", "INBOX", True),
        ("iNbOx.*", "INBOX.sub", True),
        ("INBOX.SUB", "INBOX.sub", False),
        ("A", "a", False),
        ("", "", True),
        ("a", "", False),
        ("INBOXX", "INBOXX", True),
        ("inboxx", "INBOXX", False),
    ],
)
def test_matches(pattern: str, name: str, matches: bool) -> None:
    assert Pattern(pattern, ".").matches(name) is matches


@given(st.text("ab.*%", max_size=12), st.text("ab.", max_size=12))
def test_agrees_with_a_regular_expression(pattern: str, name: str) -> None:
    expression = "".join({"*": ".*", "%": "[^.]*"}.get(char, re.escape(char)) for char in pattern)
    assert Pattern(pattern, ".").matches(name) == (re.fullmatch(expression, name) is not None)


@given(st.text("ab.*%", max_size=8), st.text("ab.", max_size=8), st.text("ab.", max_size=4))
def test_below(pattern: str, name: str, rest: str) -> None:
    compiled = Pattern(pattern, ".")
    if compiled.matches(f"{name}.{rest}"):
        assert compiled.matches_below(name)


def test_many_wildcards_do_not_backtrack() -> None:
    started = time.perf_counter()
    assert not Pattern("*a" * 2000 + "b", ".").matches("a" * 2000)
    assert not Pattern("%a" * 2000 + "b", ".").matches("a" * 2000)
    assert time.perf_counter() - started < 2


def test_parents() -> None:
    assert parents("a.b.c", ".") == ["a", "a.b"]
    assert parents("a", ".") == []
