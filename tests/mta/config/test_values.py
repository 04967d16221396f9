"""Booleans, numbers and times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.values import boolean, integer, seconds


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("30", "s", 30),
        ("30s", "h", 30),
        ("2", "h", 7200),
        ("5m", "s", 300),
        ("1h", "s", 3600),
        ("2d", "s", 172800),
        ("1w", "s", 604800),
        ("0", "d", 0),
        (" 7", "s", 7),
        ("1hour", "s", 3600),
    ],
)
def test_times(text: str, unit: str, expected: int) -> None:
    assert seconds(text, unit) == expected


@pytest.mark.parametrize("text", ["", "h", "5x", "-1s", "1.5s", "99999999999", "9999999w", "٣s", "5 s"])
def test_bad_times(text: str) -> None:
    with pytest.raises(ValueError, match="bad time value"):
        seconds(text)


def test_numbers_and_booleans() -> None:
    assert [integer(text) for text in ("0", "-5", "+7", " 12")] == [0, -5, 7, 12]
    assert [boolean(text) for text in ("yes", "YES", "no", "No")] == [True, True, False, False]


@pytest.mark.parametrize("text", ["", "1x", "0x10", "1_0", "9" * 20, "²", "1.0", "yes"])
def test_bad_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="bad numerical"):
        integer(text)


@pytest.mark.parametrize("text", ["", "true", "1", "y", "yes "])
def test_bad_booleans(text: str) -> None:
    with pytest.raises(ValueError, match="bad boolean"):
        boolean(text)


@given(st.text(max_size=20))
def test_only_value_errors_escape(text: str) -> None:
    for read in (boolean, integer, seconds):
        try:
            read(text)
        except ValueError as error:
            assert type(error) is ValueError
