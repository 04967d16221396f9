"""An exercise as a student has it: files in a directory of its own, hosts that run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.exercises import find
from lab.exercises.work import Work

SEED = bytes(range(32))


@pytest.fixture
def begun(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Work]]:
    """`begun("12.1")` is that exercise, started."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "runtime"))
    (place / "runtime").mkdir(mode=0o700)
    works: list[Work] = []

    def begin(slug: str) -> Work:
        works.append(Work.create(find(slug), place / "lab", "Erika", SEED))
        works[-1].up()
        return works[-1]

    yield begin
    for work in works:
        work.stop()
