"""A configuration of a null client in a temporary directory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MASTER = """\
pickup unix n - n 60 1 pickup
qmgr unix n - n 300 1 qmgr
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
"""


@pytest.fixture
def confdir(tmp_path: Path) -> Callable[..., Path]:
    def make(**settings: str) -> Path:
        directory = tmp_path / "conf"
        directory.mkdir(exist_ok=True)
        main = {
            "compatibility_level": "3.6",
            "queue_directory": str(tmp_path / "spool"),
            "myhostname": "null.example.org",
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "relayhost": "[127.0.0.1]:1",
        } | settings
        (directory / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in main.items()))
        (directory / "master.cf").write_text(MASTER)
        return directory

    return make


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The tools log to standard error; the next test wants its records."""
    logger = logging.getLogger("postfix")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before
