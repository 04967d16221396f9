"""dovecot-uidlist, dovecot-keywords and subscriptions: as Dovecot writes them, hostile content included."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.store import Corrupt, keywords, subscriptions, uidlist, uidvalidity
from imap.store.jail import Directory

# Written by Dovecot 2.3.19.
DOVECOT = b"""3 V1795344778 N7 Gec8597118ac9026b0d52000083ecc375
1 :1700000001.M1P1.seed
4 W290 :1700000004.M4P1.seed
5 G1700000003.M3P1.seed :1795344778.M342006P21005.vm,S=25,W=28
"""


def test_reads_and_writes_what_dovecot_wrote() -> None:
    parsed = uidlist.parse(DOVECOT)
    assert (parsed.uidvalidity, parsed.uidnext) == (1795344778, 7)
    assert [(entry.uid, entry.base, entry.extra) for entry in parsed.entries] == [
        (1, "1700000001.M1P1.seed", ""),
        (4, "1700000004.M4P1.seed", "W290"),
        (5, "1795344778.M342006P21005.vm,S=25,W=28", "G1700000003.M3P1.seed"),
    ]
    assert parsed.format() == DOVECOT


def test_uidnext_is_above_the_last_uid() -> None:
    assert uidlist.parse(b"3 V1 N1\n9 :a\n").uidnext == 10


def test_a_line_cut_off_by_a_crash_is_not_read() -> None:
    parsed = uidlist.parse(b"3 V1 N1\n1 :a\n2 :b")
    assert [entry.uid for entry in parsed.entries] == [1]
    assert parsed.truncated


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"3 V1 N1",
        b"2 V1 N1\n",
        b"3 N1\n",
        b"3 V0 N1\n",
        b"3 V99999999999 N1\n",
        b"3 V1 N1\n2 :a\n1 :b\n",
        b"3 V1 N1\n1 :a\n1 :b\n",
        b"3 V1 N1\n4294967296 :a\n",
        b"3 V1 N1\n01 :a\n",
        b"3 V1 N1\nx :a\n",
        b"3 V1 N1\n1 a\n",
        b"3 V-1 N1\n",
    ],
)
def test_corruption_is_told(data: bytes) -> None:
    with pytest.raises(Corrupt):
        uidlist.parse(data)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_only_the_typed_error_escapes(data: bytes, cut: int) -> None:
    for text in (data, b"3 V1 N1\n" + data, DOVECOT[:cut], DOVECOT[:cut] + data):
        with contextlib.suppress(Corrupt):
            uidlist.parse(text)


_extra = st.sampled_from(["", "W290", "S12 W290", "Gabc"])
_base = st.text(st.characters(codec="utf-8", exclude_characters=":\n"), min_size=1, max_size=20)


@given(st.lists(st.tuples(_base, _extra), max_size=20))
def test_there_and_back(items: list[tuple[str, str]]) -> None:
    entries = [uidlist.Entry(uid, base, extra) for uid, (base, extra) in enumerate(items, 1)]
    before = uidlist.UidList(7, len(items) + 1, "0" * 32, entries)
    assert uidlist.parse(before.format()) == before


def test_keywords_of_dovecot() -> None:
    assert keywords.parse(b"0 kw1\n1 $Two\n26 more\nx bad\n\n3\n") == {0: "kw1", 1: "$Two", 26: "more"}


@given(st.binary(max_size=100))
def test_any_keywords_file_can_be_read(data: bytes) -> None:
    parsed = keywords.parse(data)
    assert keywords.parse(keywords.format_file(parsed)) == parsed


def test_keywords_are_added_once(tmp_path: Path) -> None:
    with Directory.root(tmp_path) as control:
        keywords.add(control, ["one", "Two"])
        assert keywords.add(control, ["two", "three"]) == {0: "one", 1: "Two", 2: "three"}
    assert (tmp_path / keywords.NAME).read_bytes() == b"0 one\n1 Two\n2 three\n"


def test_subscriptions_of_both_versions() -> None:
    assert subscriptions.parse(b"V\t2\n\nB\nINBOX\n&AOQ-\tx\n", ".") == [("B",), ("INBOX",), ("&AOQ-", "x")]
    assert subscriptions.parse(b"B\nINBOX\na.b\n", ".") == [("B",), ("INBOX",), ("a", "b")]


_part = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)


@given(st.lists(st.lists(_part, min_size=1, max_size=4).map(tuple), max_size=8, unique=True))
def test_subscriptions_there_and_back(names: list[tuple[str, ...]]) -> None:
    assert subscriptions.parse(subscriptions.format_file(names), ".") == names


@given(st.binary(max_size=100))
def test_any_subscriptions_file_can_be_read(data: bytes) -> None:
    subscriptions.parse(data, ".")


def test_uidvalidity_never_repeats(tmp_path: Path) -> None:
    with Directory.root(tmp_path) as control:
        values = [uidvalidity.following(control) for _ in range(5)]
    assert sorted(set(values)) == values
    assert (tmp_path / "dovecot-uidvalidity").read_text() == f"{values[-1]:08x}"
    assert [path.name for path in tmp_path.glob("dovecot-uidvalidity.*")] == [f"dovecot-uidvalidity.{values[-1]:08x}"]


def test_uidvalidity_goes_on_from_dovecots(tmp_path: Path) -> None:
    (tmp_path / "dovecot-uidvalidity.f0000000").touch()
    with Directory.root(tmp_path) as control:
        assert uidvalidity.following(control) == 0xF0000001
