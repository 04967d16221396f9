"""The queue directory is prepared for its owner, and root is not led astray by links in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mta.queue import layout


def test_prepare_makes_everything_and_may_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        layout.prepare(tmp_path / "a" / "spool")
    for name in layout.DIRECTORIES:
        assert stat.S_IMODE((tmp_path / "a" / "spool" / name).stat().st_mode) == 0o700


def test_an_open_directory_is_closed(tmp_path: Path) -> None:
    (tmp_path / layout.BODIES).mkdir(mode=0o777)
    (tmp_path / layout.BODIES).chmod(0o777)
    layout.prepare(tmp_path)
    assert stat.S_IMODE((tmp_path / layout.BODIES).stat().st_mode) == 0o700


def test_a_link_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / layout.MAILDROP).symlink_to(victim)
    with pytest.raises(OSError):
        layout.prepare(spool)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_files_away_but_not_those_behind_links(tmp_path: Path) -> None:
    spool, victim = tmp_path / "spool", tmp_path / "victim"
    layout.prepare(spool)
    victim.write_text("secret")
    (spool / "linked").symlink_to(victim)
    os.link(victim, spool / "hard")
    (spool / "own").write_text("")
    layout.prepare(spool, 65534, 65534)
    assert (spool / "own").stat().st_uid == 65534
    assert spool.stat().st_uid == 65534
    assert victim.stat().st_uid == 0
