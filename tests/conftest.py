"""Fixtures for every room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name (the path of a unix socket is short) that services of other users can enter.

    pytest's own tmp_path is neither.
    """
    path = Path(tempfile.mkdtemp(prefix="hm-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
