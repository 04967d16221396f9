"""Fixtures: configuration directories made of given texts."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def confdir(tmp_path: Path) -> Callable[..., Path]:
    """Writes main.cf (and master.cf) into an empty directory and returns it."""

    def make(main: str = "", master: str | None = None) -> Path:
        (tmp_path / "main.cf").write_text(main)
        if master is not None:
            (tmp_path / "master.cf").write_text(master)
        return tmp_path

    return make
