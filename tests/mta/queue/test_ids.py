"""Queue ids: the forms that Postfix writes, and that none is given twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue.ids import BLOCK, DIGITS_51, DIGITS_52, IdFactory, encode, is_queue_id, long_id, short_id


def decode(text: str, digits: str) -> int:
    value = 0
    for char in text:
        value = value * len(digits) + digits.index(char)
    return value


def test_short_id_is_microseconds_and_number_in_hex() -> None:
    assert short_id(0x4F1, 0xC2A) == "004F1C2A"


def test_long_id_of_a_known_moment() -> None:
    # 52**5 seconds is the smallest number with six digits: "100000".
    assert long_id(52**5, 52, 51) == "1000000010z10"


@given(st.integers(0, 2**40), st.integers(0, 999_999), st.integers(0, 2**60))
def test_long_id_can_be_taken_apart_again(seconds: int, microseconds: int, number: int) -> None:
    text = long_id(seconds, microseconds, number)
    head, _, tail = text.rpartition("z")
    assert decode(head[:-4], DIGITS_52) == seconds
    assert decode(head[-4:], DIGITS_52) == microseconds
    assert decode(tail, DIGITS_51) == number
    assert is_queue_id(text)


@given(st.integers(0, 999_999), st.integers(0, 2**60))
def test_short_ids_are_recognised(microseconds: int, number: int) -> None:
    text = short_id(microseconds, number)
    assert is_queue_id(text)
    assert int(text[:5], 16) == microseconds
    assert int(text[5:], 16) == number


@given(st.text(max_size=40))
def test_a_queue_id_is_safe_as_a_file_name(text: str) -> None:
    if is_queue_id(text):
        assert text.isalnum() and text.isascii()


@pytest.mark.parametrize("text", ["", "ABC", "4F1C2A.tmp", "../4F1C2A4", "4f1c2a400", "A" * 200, "ALL"])
def test_what_is_no_queue_id(text: str) -> None:
    assert not is_queue_id(text)


@pytest.mark.parametrize("long_ids", [False, True])
def test_ids_are_unique_when_the_clock_stands_still(long_ids: bool) -> None:
    blocks: list[int] = []

    def take(count: int) -> int:
        blocks.append(count)
        return 1000 + sum(blocks[:-1])

    factory = IdFactory(take, long_ids, clock=lambda: 1_700_000_000.25)
    count = 2 * BLOCK + 1
    assert len({factory.new_id() for _ in range(count)}) == count
    assert blocks == [BLOCK] * 3


@given(st.integers(0, 2**70), st.sampled_from([DIGITS_51, DIGITS_52]))
def test_encode_round_trip(number: int, digits: str) -> None:
    assert decode(encode(number, digits), digits) == number
