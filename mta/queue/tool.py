"""What the command-line tools share: which configuration, how to fail, how to log."""

from __future__ import annotations

import contextlib
import getopt
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.config import ConfigErrors, MainConfig
from mta.queue.errors import ForeignQueue, QueueError
from mta.queue.store import Queue

DEFAULT_CONFDIR: Final = "/etc/postfix"


class Fatal(Exception):
    """The tool ends with this message and this exit status (sysexits.h); None: its own, whatever is wrong."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Tool:
    """A command of Postfix: its words for wrong use, and how it ends when something is wrong."""

    name: str
    usage: str
    """In one line, as the real one says it."""
    help: str
    """Ours, with an example, for --help."""
    status: int = 1
    misuse_status: int | None = None
    """Where wrong use ends otherwise."""

    def run(self, argv: list[str], work: Callable[[list[str]], int]) -> int:
        """Do the work with the arguments behind the program's name; returns the exit status."""
        if "--help" in argv:
            print(self.help)
            return os.EX_OK
        to_stderr(self.name)
        try:
            return work(argv)
        except (Fatal, QueueError) as error:
            print(f"{self.name}: fatal: {error}", file=sys.stderr)
            status = error.status if isinstance(error, Fatal) else None
            return self.status if status is None else status

    def arguments(self, argv: list[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
        """Options and the rest, as getopt(3) takes them apart. Raises Fatal."""
        try:
            return getopt.getopt(argv, letters)
        except getopt.GetoptError as error:
            known = re.search(f"{re.escape(error.opt)}:", letters)
            what = "option requires an argument" if known else "invalid option"
            print(f"{self.name}: {what} -- '{error.opt}'", file=sys.stderr)
            raise self.misused() from None

    def misused(self) -> Fatal:
        """The error of a call that makes no sense."""
        return Fatal(f"usage: {self.usage}", self.misuse_status)


def confdir(option: str | None) -> Path:
    """`-c` or `-C` (a directory, or the main.cf in it), else MAIL_CONFIG, else Postfix's own place."""
    path = Path(option or os.environ.get("MAIL_CONFIG") or DEFAULT_CONFDIR)
    return path.parent if path.name == "main.cf" else path


def load_config(option: str | None, overrides: Mapping[str, str] | None = None) -> MainConfig:
    """Read main.cf. Raises Fatal."""
    directory = confdir(option)
    try:
        return MainConfig.load(directory, overrides or {})
    except ConfigErrors as error:
        if not (directory / "main.cf").exists():
            raise Fatal(f"open {directory}/main.cf: No such file or directory") from error
        raise Fatal(str(error.errors[0]) if error.errors else str(error)) from error


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
        raise Fatal(f"{directory}: no such queue directory; start the mail system once, or make it")
    try:
        return Queue.from_config(config)
    except ForeignQueue as error:
        raise Fatal(str(error)) from error
    except QueueError as error:
        raise Fatal(f"cannot open the queue: {error}") from error


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
