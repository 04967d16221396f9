"""Fixtures for every room, and the marks that name real programs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import peers, servers

# How long an example takes tells of the machine, not of the code.
settings.register_profile("hardmail", deadline=None)
settings.load_profile("hardmail")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for the peers before any fixture starts one."""
    for mark in item.iter_markers("needs"):
        peers.find(*mark.args)
    if item.get_closest_marker("needs_root"):
        peers.need_root()


@pytest.fixture(scope="session")
def peer() -> Callable[[str, str], str]:
    """`peer(program, package)` is the path of a real program."""
    return peers.find


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name (the path of a unix socket is short) that services of other users can enter.

    pytest's own tmp_path is neither.
    """
    path = Path(tempfile.mkdtemp(prefix="hm-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def pgsql_server() -> Iterator[Any]:
    with servers.pgsql() as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[Any]:
    with servers.mysql() as server:
        yield server


@pytest.fixture(scope="session")
def ldap_server() -> Iterator[Any]:
    with servers.ldap() as server:
        yield server
