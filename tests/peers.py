"""The real programs that interop tests talk to: where they are, and what their absence means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.programs import Program


def find(program: str, package: str, *more_paths: str) -> str:
    """The path of a real program. In CI, which installs them (.ci/peers), its absence is a failure, elsewhere a skip."""
    wanted = Program(program, package)
    return wanted.path(*more_paths) or _absent(f"not installed: {wanted}")


def need_root() -> None:
    """For peers whose daemons can be started only by root."""
    if os.geteuid() != 0:
        _absent("the real daemon can be started only by root")


def age(*files: Path) -> None:
    """Date files back. Postfix sleeps for up to two seconds at each reading of a file that was written just now."""
    for file in files:
        os.utime(file, (1, 1))


def _absent(why: str) -> str:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    raise AssertionError  # neither returns
