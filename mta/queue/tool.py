"""What the command-line tools share: which configuration, how to fail, how to log."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mta.config import ConfigErrors, MainConfig
from mta.queue.errors import ForeignQueue, QueueError
from mta.queue.store import Queue

DEFAULT_CONFDIR: Final = "/etc/postfix"


class Fatal(Exception):
    """The tool ends with this message and this exit status (sysexits.h)."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def confdir(option: str | None) -> Path:
    """`-c` or `-C` (a directory, or the main.cf in it), else MAIL_CONFIG, else Postfix's own place."""
    path = Path(option or os.environ.get("MAIL_CONFIG") or DEFAULT_CONFDIR)
    return path.parent if path.name == "main.cf" else path


def load_config(option: str | None, overrides: Mapping[str, str] | None = None) -> MainConfig:
    """Read main.cf. Raises Fatal."""
    try:
        return MainConfig.load(confdir(option), overrides or {})
    except ConfigErrors as error:
        raise Fatal(str(error.errors[0]) if error.errors else str(error), os.EX_CONFIG) from error


@contextlib.contextmanager
def as_owner(config: MainConfig) -> Iterator[None]:
    """Root works on a queue as its owner, as postsuper(1) does: what he put there leads to nothing of root's."""
    try:
        owner = Path(config.str("queue_directory")).stat()
    except OSError:
        owner = None  # told by whoever opens the queue
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def open_queue(config: MainConfig) -> Queue:
    """The queue of a configuration. Raises Fatal."""
    directory = Path(config.str("queue_directory"))
    if not directory.is_dir():
        raise Fatal(f"{directory}: no such queue directory; start the mail system once, or make it", os.EX_UNAVAILABLE)
    try:
        return Queue.from_config(config)
    except ForeignQueue as error:
        raise Fatal(str(error), os.EX_CONFIG) from error
    except QueueError as error:
        raise Fatal(f"cannot open the queue: {error}", os.EX_TEMPFAIL) from error


def to_stderr(name: str, level: int = logging.WARNING) -> None:
    """Log lines of the library to standard error, as the tools of Postfix write them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format(name))
    root = logging.getLogger("postfix")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


class _Format(logging.Formatter):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        word = {logging.WARNING: "warning: ", logging.ERROR: "error: "}.get(record.levelno, "")
        return f"{self._name}: {word}{record.getMessage()}"


def fail(name: str, error: Fatal) -> int:
    """Say why, and give the exit status."""
    print(f"{name}: fatal: {error}", file=sys.stderr)
    return error.status
