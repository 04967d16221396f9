"""The maildrop keeps what it took, and a torn file is seen to be torn."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue import layout
from mta.sendmail import maildrop
from mta.sendmail.maildrop import BadDrop, Drop

DROP = Drop(
    "alice", ("bob@x", "root"), b"Subject: x\n\n\xff\n", "Alice", 2, "HDRS", "id", "8BITMIME", True, {"uid": "7"}
)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    layout.prepare(tmp_path)
    return tmp_path


def test_round_trip(spool: Path) -> None:
    path = maildrop.write(spool, DROP)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    dropped = maildrop.read(path)
    assert dropped.drop == DROP
    assert dropped.uid == 7
    assert list(maildrop.waiting(spool)) == [path]


def test_oldest_first_and_nothing_unfinished(spool: Path) -> None:
    paths = [maildrop.write(spool, DROP) for _ in range(3)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (age, age))
    (spool / layout.MAILDROP / ("0" * 32 + ".tmp")).write_bytes(b"half")
    (spool / layout.MAILDROP / "README").write_bytes(b"hello")
    (spool / layout.MAILDROP / ("1" * 32)).symlink_to(paths[0])
    assert list(maildrop.waiting(spool)) == list(reversed(paths))


def test_a_link_is_not_read(spool: Path) -> None:
    link = spool / layout.MAILDROP / ("1" * 32)
    link.symlink_to(maildrop.write(spool, DROP))
    with pytest.raises(OSError):
        maildrop.read(link)


def test_a_failed_write_leaves_nothing(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError):
        maildrop.write(spool, DROP)
    assert list((spool / layout.MAILDROP).iterdir()) == []


def test_cut_at_every_octet(spool: Path) -> None:
    whole = maildrop.write(spool, DROP).read_bytes()
    assert maildrop.parse(whole) == DROP
    for cut in range(len(whole)):
        with pytest.raises(BadDrop):
            maildrop.parse(whole[:cut])


@given(st.binary(max_size=200))
def test_only_the_typed_error_escapes(data: bytes) -> None:
    with pytest.raises(BadDrop):
        maildrop.parse(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_a_strange_envelope_is_refused(told: object) -> None:
    import json
    import zlib

    envelope = json.dumps(told).encode()
    data = b"%s %d 0 %d\n" % (maildrop.MAGIC, len(envelope), zlib.crc32(envelope)) + envelope
    with pytest.raises(BadDrop):
        maildrop.parse(data)
