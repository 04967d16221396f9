"""Real peers for the interop tests: found or reported, started privately on loopback, ended by pid."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from lab.behaviours.stack import Lab

# Where Debian keeps programs that are not on everybody's PATH.
MORE_PATHS = ("/usr/sbin", "/sbin", "/usr/lib/cyrus/bin", "/usr/lib/dovecot")


@pytest.fixture(scope="session")
def peer() -> Callable[[str, str], str]:
    """`peer(program, package)` is the path of a real program; in CI its absence is a failure, elsewhere a skip."""

    def find(program: str, package: str) -> str:
        path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), *MORE_PATHS)))
        if path is None:
            message = f"{program} is not installed (Debian: apt install {package})"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return path

    return find


@pytest.fixture(scope="session")
def as_root() -> Iterator[None]:
    """For peers whose daemons can be started only by root."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("this interop test has to run as root in CI")
        pytest.skip("the real daemon can be started only by root")
    yield


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A hardened laboratory of this test's own."""
    async with Lab.start() as running:
        yield running
