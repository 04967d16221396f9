"""Log lines as Postfix and Dovecot write them, to a file or to the standard error stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lab.sandbox.walk import open_file

LEVEL_WORDS = {logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "fatal"}
DOVECOT_WORDS = {logging.DEBUG: "Debug", logging.INFO: "Info", logging.WARNING: "Warning", logging.ERROR: "Error"}

# Octets that one write(2) keeps together also where the log is a pipe (pipe(7)).
TOGETHER = select.PIPE_BUF

# Control characters would let a peer's text forge further log lines or drive a terminal.
UNPRINTABLE = dict.fromkeys((*range(32), 127, *range(128, 160)), "?")


@dataclass(frozen=True)
class LogTarget:
    """Where the lines of one instance go. None means the standard error stream."""

    postfix_file: Path | None = None
    postfix_name: str = "postfix"
    dovecot_file: Path | None = None
    debug: bool = False


STANDARD_ERROR = LogTarget()


class Record(logging.LogRecord):
    """What one line needs. The rest of what logging collects (source line, thread, task) costs more than a mail."""

    def __init__(
        self, name: str, level: int, path: str, line: int, text: Any, arguments: Any, exc_info: Any, *_: object
    ) -> None:
        if arguments and len(arguments) == 1 and isinstance(arguments[0], Mapping) and arguments[0]:
            arguments = arguments[0]  # `%(name)s`, as logging.LogRecord has it
        self.name = name
        self.levelno = level
        self.msg = text
        self.args = arguments
        self.exc_info = exc_info
        self.created = time.time()


@lru_cache(maxsize=4)
def stamp(second: int, form: str) -> str:
    """A time of day, made once for all lines of a second."""
    return time.strftime(form, time.localtime(second))


class PostfixFormatter(logging.Formatter):
    """`Nov 22 10:35:21 host postfix/smtpd[123]: warning: text`, as postlogd(8) writes maillog_file."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._host = socket.gethostname().partition(".")[0]
        self._heads: dict[tuple[str, int], str] = {}

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its line end."""
        text = one_line(record)
        if record.levelno != logging.INFO:
            word = LEVEL_WORDS.get(record.levelno)
            if word and not text.startswith(f"{word}:"):
                text = f"{word}: {text}"
        key = record.name, os.getpid()
        head = self._heads.get(key) or self._heads.setdefault(key, self._head(*key))
        return f"{stamp(int(record.created), '%b %e %H:%M:%S')} {head} {text}"

    def _head(self, logger: str, pid: int) -> str:
        room, _, service = logger.partition(".")
        name = self._name if room == "postfix" else room
        return f"{self._host} {name}{'/' if service else ''}{service}[{pid}]:"


class DovecotFormatter(logging.Formatter):
    """`Nov 22 10:35:21 auth: Info: text`, as Dovecot writes log_path with the default log_timestamp."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its line end."""
        service = record.name.partition(".")[2] or "master"
        word = DOVECOT_WORDS.get(record.levelno, "Fatal")
        return f"{stamp(int(record.created), '%b %d %H:%M:%S')} {service}: {word}: {one_line(record)}"


class LineHandler(logging.Handler):
    """Writes whole lines, those of one turn of the event loop in one write(2): lines of several processes never mix.

    Outside an event loop, in its threads and in what it forked, each line is written at once.
    """

    def __init__(self, descriptor: int, formatter: logging.Formatter) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._size = 0
        self.setFormatter(formatter)

    def createLock(self) -> None:
        """None is needed: threads cannot mix their lines more than processes can."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """There are no filters."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a log that cannot be written must not stop the mail."""
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._write(line)
        if self._size + len(line) > TOGETHER:
            self.flush()
        if not self._lines:
            loop.call_soon(self.flush)
        self._lines.append(line)
        self._size += len(line)
        return None

    def flush(self) -> None:
        """Write what waits for the end of the loop's turn."""
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            self._write(b"".join(lines))

    def _write(self, octets: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, octets)


def one_line(record: logging.LogRecord) -> str:
    """The message, with its traceback if there is one, as one printable line."""
    text = record.msg % record.args if record.args else str(record.msg)
    if record.exc_info and record.exc_info[1]:
        error = record.exc_info[1]
        frames = []
        trace = error.__traceback__
        while trace:
            frames.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        text = f"{text}: {type(error).__name__}: {error} (at {' > '.join(frames)})"
    return text if text.isprintable() else text.replace("\n", " | ").translate(UNPRINTABLE)


def configure(target: LogTarget) -> None:
    """Install the handlers of one instance. Raises OSError when a log file cannot be opened."""
    logging.raiseExceptions = False
    logging.setLogRecordFactory(Record)
    logging._srcfile = None  # no search for the source line (logging HOWTO, Optimization)
    root = logging.getLogger()
    install(root, None, PostfixFormatter(target.postfix_name))
    for name in ("postfix", "hardmail"):
        install(logging.getLogger(name), target.postfix_file, PostfixFormatter(target.postfix_name))
    install(logging.getLogger("dovecot"), target.dovecot_file, DovecotFormatter())
    root.setLevel(logging.WARNING)  # libraries speak only of trouble
    level = logging.DEBUG if target.debug else logging.INFO
    for name in ("postfix", "hardmail", "dovecot"):
        logging.getLogger(name).setLevel(level)


def install(logger: logging.Logger, path: Path | None, formatter: logging.Formatter) -> None:
    """Replace the handlers of `logger` by one that writes to `path`, or to standard error."""
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    logger.addHandler(LineHandler(sys.stderr.fileno() if path is None else open_log(path), formatter))
    logger.propagate = False


_open_files: dict[Path, int] = {}


def open_log(path: Path) -> int:
    """A descriptor that appends to `path`, made with mode 0600; one for each file of this process. Raises OSError."""
    if str(path) in ("/dev/stderr", "/dev/stdout"):
        return sys.stderr.fileno() if path.name == "stderr" else sys.stdout.fileno()
    if path not in _open_files:
        _open_files[path] = open_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return _open_files[path]


def descriptors() -> list[int]:
    """The descriptors of all open log files."""
    return list(_open_files.values())


def reopen() -> None:
    """Open the log files anew, so that a rotated file is let go. Raises OSError."""
    for path, descriptor in _open_files.items():
        fresh = open_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(fresh, descriptor, inheritable=False)
        os.close(fresh)
