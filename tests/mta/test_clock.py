"""A clock that can be moved, for all processes of an instance at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mta.clock import FILE, SimulatedClock, clock_of
from mta.config import MainConfig


def test_time_passes_by_itself_and_by_hand(tmp_path: Path) -> None:
    clock = SimulatedClock(tmp_path / "clock")
    assert abs(clock() - time.time()) < 1
    clock.advance(86400)
    assert 86399 < clock() - time.time() < 86401


def test_processes_share_it(tmp_path: Path) -> None:
    mine, yours = SimulatedClock(tmp_path / "clock"), SimulatedClock(tmp_path / "clock")
    mine.advance(3600)
    assert yours.ahead == 3600
    assert SimulatedClock(tmp_path / "clock").ahead == 3600
    assert (tmp_path / "clock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_it_never_goes_back(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="forward only"):
        SimulatedClock(tmp_path / "clock").advance(seconds)


def test_only_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(f"data_directory = {tmp_path}\n")
    assert clock_of(MainConfig.load(tmp_path)) is time.time
    assert not (tmp_path / FILE).exists()
    (tmp_path / "main.cf").write_text(f"data_directory = {tmp_path}\nhardmail_simulated_clock = yes\n")
    assert isinstance(clock_of(MainConfig.load(tmp_path)), SimulatedClock)
    (tmp_path / "main.cf").write_text(f"data_directory = {tmp_path}/none\nhardmail_simulated_clock = yes\n")
    assert clock_of(MainConfig.load(tmp_path)) is time.time


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x" * 8)
    (tmp_path / "clock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError):
        SimulatedClock(tmp_path / "clock")
