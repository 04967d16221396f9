"""Values of dovecot.conf: units, limits, and doveconf's way of writing them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.dovecotconf import values
from auth.dovecotconf.parameters import GLOBAL, SECTIONS


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [
        ("0", 0, "0"),
        ("2 secs", 2, "2 secs"),
        ("3600s", 3600, "1 hours"),
        ("60 s", 60, "1 mins"),
        ("2 m", 120, "2 mins"),
        ("14 d", 1209600, "2 weeks"),
        ("90 SECONDS", 90, "90 secs"),
        ("5000 msecs", 5, "5 secs"),
    ],
)
def test_time(text: str, seconds: int, shown: str) -> None:
    assert values.parse_seconds(text) == seconds
    assert values.show_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("text", "octets", "shown"),
    [
        ("0", 0, "0"),
        ("1024", 1024, "1 k"),
        ("64 k", 65536, "64 k"),
        ("3b", 3, "3 B"),
        ("10 kB", 10240, "10 k"),
        ("2 T", 2 << 40, "2 T"),
        ("100000", 100000, "100000 B"),
    ],
)
def test_size(text: str, octets: int, shown: str) -> None:
    assert values.parse_size(text) == octets
    assert values.show_size(octets) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [(" quota", '" quota"'), ("a ", '"a "'), ("a#b", '"a#b"'), ('a "b" c', 'a "b" c'), ("", "")]
)
def test_quotes_where_they_are_needed(text: str, shown: str) -> None:
    assert values.quoted(text) == shown


@pytest.mark.parametrize("text", ["-1", "1.5", "99999999999 secs", "１ secs", "1 lightyear", "1 ms x"])
def test_bad_time(text: str) -> None:
    with pytest.raises(values.BadValue):
        values.parse_seconds(text)


def test_every_default_has_its_own_type() -> None:
    for rows in SECTIONS.values():
        for parameter in rows.values():
            values.check(parameter, parameter.default)


def test_every_default_is_shown_as_it_is_declared() -> None:
    assert {name for name, row in GLOBAL.items() if values.show(row, row.default).strip('"') != row.default} == set()


@given(st.text(max_size=12))
def test_only_the_typed_error_escapes(text: str) -> None:
    for parse in values.PARSERS.values():
        try:
            parse(text)
        except values.BadValue:
            continue
