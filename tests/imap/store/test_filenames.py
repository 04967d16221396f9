"""Maildir file names: flags, keywords and sizes there and back."""

from hypothesis import given
from hypothesis import strategies as st

from imap.store import filenames


def test_flags_are_letters_in_order() -> None:
    assert filenames.info(1 | 2 | 4 | 8 | 16, [1, 0]) == ":2,DFRSTab"


def test_letters_of_other_programs_stay() -> None:
    assert filenames.info(8, [], ":2,FP") == ":2,PS"
    assert filenames.info(8, [], ":2,F,x=1") == ":2,S,x=1"


def test_sizes() -> None:
    assert filenames.sizes("1.M2P3.host,S=25,W=28") == (25, 28)
    assert filenames.sizes("1.M2P3.host,W=28") == (None, 28)
    assert filenames.sizes("1.M2P3.host,S=x,W=-1") == (None, None)


def test_keyword_numbers_beyond_z_have_no_letter() -> None:
    assert filenames.info(0, [25, 26, 300]) == ":2,z"


@given(st.integers(0, 31), st.sets(st.integers(0, 25)))
def test_info_and_back(bits: int, keywords: set[int]) -> None:
    info = filenames.info(bits, sorted(keywords))
    assert filenames.bits(info) == bits
    assert set(filenames.keyword_numbers(info)) == keywords


@given(st.text())
def test_any_name_can_be_read(name: str) -> None:
    base, info = filenames.split(name)
    assert base + info == name
    filenames.bits(info)
    filenames.keyword_numbers(info)
    filenames.sizes(base)
    filenames.arrival_key(name)


def test_names_are_unique() -> None:
    names = {filenames.unique.next() for _ in range(5000)}
    assert len(names) == 5000
