"""The Date field, in all the forms that mail has it in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.mime import date


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (b"Mon, 6 Nov 2023 10:15:12 +0100", (2023, 11, 6, 9, 15, 12)),
        (b"06 Nov 2023 10:15 -0530", (2023, 11, 6, 15, 45, 0)),
        (b"(c) Mon (d), 06 (e) November 23 10.15.12 EST (f)", (2023, 11, 6, 15, 15, 12)),
        (b"6 Nov 72 1:02", (1972, 11, 6, 1, 2, 0)),
        (b"6 Nov 2023 10:15:60 GMT", (2023, 11, 6, 10, 15, 59)),
        (b"6 Nov 2023 10:15:00 NOWHERE", (2023, 11, 6, 10, 15, 0)),
        (b"6 Nov 2023 10:15:00 B", (2023, 11, 6, 8, 15, 0)),
        (b"6 Nov 2023 10:15:00 Y", (2023, 11, 6, 22, 15, 0)),
    ],
)
def test_a_date_is_a_moment(value: bytes, moment: tuple[int, int, int, int, int, int]) -> None:
    read = date.read(value)
    assert read is not None
    assert read[0] == datetime(*moment, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"Mon 6 Nov 2023 10:15:12",
        b"6 Foo 2023 10:15:12",
        b"31 Feb 2023 10:15:12",
        b"6 Nov 203 10:15:12",
        b"6 Nov 1899 10:15:12",
        b"6 Nov 2023",
        b"6 Nov 2023 10:1:12",
        b"6 Nov 2023 10:20::20:12 +0100",
        b"6 Nov 2023 23:30:0,0 -0800",
        b"6 Nov 2023 10:15:12 (never ends",
        b"1 Jan 0001 00:00:00 +1400",
    ],
)
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert date.read(value) is None


@given(st.binary() | st.from_regex(rb"[ -~]{0,3},? ?[0-9]{1,2} Jan [0-9]{4} [0-9:.]{5,9} [-+A-Z0-9]{0,6}"))
def test_nothing_raises(value: bytes) -> None:
    date.read(value)
