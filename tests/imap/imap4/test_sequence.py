"""Sequence sets."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.imap4 import sequence
from imap.imap4.errors import Bad
from imap.imap4.sequence import SequenceSet


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (b"1", [1]),
        (b"*", [5]),
        (b"1:*", [1, 2, 3, 4, 5]),
        (b"*:4", [4, 5]),
        (b"5:3", [3, 4, 5]),
        (b"5,1,3,1", [1, 3, 5]),
        (b"1:2,2:4", [1, 2, 3, 4]),
    ],
)
def test_sequence_numbers(text: bytes, numbers: list[int]) -> None:
    ranges = SequenceSet.parse(text).positions(5)
    assert [number for each in ranges for number in each] == numbers


@pytest.mark.parametrize(
    "text", [b"0", b"6", b"1:6", b"4294967296", b"-1", b"1:", b":1", b"", b"1,,2", b"a", b"1:2:3", b"00"]
)
def test_refused(text: bytes) -> None:
    with pytest.raises(Bad):
        SequenceSet.parse(text).positions(5)


def test_every_set_is_refused_in_an_empty_mailbox() -> None:
    with pytest.raises(Bad):
        SequenceSet.parse(b"1:*").positions(0)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [(b"1:*", [1, 2, 3]), (b"20", [2]), (b"25:*", [3]), (b"99:*", [3]), (b"99", []), (b"11:19", [])],
)
def test_uids(text: bytes, numbers: list[int]) -> None:
    ranges = SequenceSet.parse(text).uid_positions([10, 20, 30])
    assert [number for each in ranges for number in each] == numbers


@given(st.sets(st.integers(1, 200)))
def test_written_sets_are_read_back(numbers: set[int]) -> None:
    text = sequence.write(sorted(numbers))
    if numbers:
        ranges = SequenceSet.parse(text).positions(200)
        assert {number for each in ranges for number in each} == numbers
    else:
        assert text == b""


@given(st.binary(max_size=30))
def test_only_bad_escapes(text: bytes) -> None:
    with contextlib.suppress(Bad):
        SequenceSet.parse(text).uid_positions([1, 5, 9])
