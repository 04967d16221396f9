"""The real programs that interop tests talk to: where they are, and what their absence means."""

from __future__ import annotations

import os
import shutil

import pytest

# Where Debian keeps programs that are not on everybody's PATH.
MORE_PATHS = ("/usr/sbin", "/sbin", "/usr/lib/cyrus/bin", "/usr/lib/dovecot")


def find(program: str, package: str, *more_paths: str) -> str:
    """The path of a real program. In CI, which installs them (.ci/peers), its absence is a failure, elsewhere a skip."""
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *MORE_PATHS, *more_paths)))
    return path or _absent(f"{program} is not installed (Debian: apt install {package})")


def need_root() -> None:
    """For peers whose daemons can be started only by root."""
    if os.geteuid() != 0:
        _absent("the real daemon can be started only by root")


def _absent(why: str) -> str:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    raise AssertionError  # neither returns
