"""Log lines: the real programs' form, one line each, nothing that a peer could forge."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.supervisor import logs
from lab.supervisor.logs import LogTarget

STAMP = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LogTarget]:
    """Two log files, and the loggers as they were afterwards."""
    names = (None, "postfix", "hardmail", "dovecot")
    before = [
        (logging.getLogger(name), logging.getLogger(name).handlers[:], logging.getLogger(name).level) for name in names
    ]
    flags = [(logging.getLogger(name), logging.getLogger(name).propagate) for name in names]
    factory, source_file = logging.getLogRecordFactory(), logging._srcfile
    made = LogTarget(tmp_path / "postfix.log", "postfix/submission", tmp_path / "dovecot.log")
    logs.configure(made)
    yield made
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
    for logger, propagate in flags:
        logger.propagate = propagate
    logging.setLogRecordFactory(factory)
    logging._srcfile = source_file
    for path in (made.postfix_file, made.dovecot_file):
        assert path is not None
        os.close(logs._open_files.pop(path))


def last(path: Path | None) -> str:
    """The last line of a log."""
    assert path is not None
    return path.read_text().splitlines()[-1]


def test_postfix_form(target: LogTarget) -> None:
    logging.getLogger("postfix.smtpd").info("connect from %s[%s]", "x.example", "127.0.0.9")
    form = rf"{STAMP} \S+ postfix/submission/smtpd\[{os.getpid()}\]: connect from x\.example\[127\.0\.0\.9\]"
    assert re.fullmatch(form, last(target.postfix_file))


def test_arguments_by_name(target: LogTarget) -> None:
    logging.getLogger("postfix.smtpd").info("%(what)s from %(who)s", {"what": "connect", "who": "x"})
    assert last(target.postfix_file).endswith("]: connect from x")


@pytest.mark.parametrize(
    ("level", "text", "written"),
    [
        (logging.WARNING, "odd", "warning: odd"),
        (logging.WARNING, "warning: odd", "warning: odd"),
        (logging.ERROR, "bad", "error: bad"),
        (logging.CRITICAL, "worse", "fatal: worse"),
        (logging.INFO, "plain", "plain"),
    ],
)
def test_postfix_severity(target: LogTarget, level: int, text: str, written: str) -> None:
    logging.getLogger("postfix.qmgr").log(level, text)
    assert last(target.postfix_file).endswith(f"]: {written}")


async def test_lines_of_a_turn_are_written_together_and_in_order(target: LogTarget) -> None:
    log = logging.getLogger("postfix.smtpd")
    for number in range(200):
        log.info("line %d %s", number, "x" * 100)
    await asyncio.sleep(0)
    assert target.postfix_file is not None
    text = target.postfix_file.read_text()
    assert [int(line.split()[-2]) for line in text.splitlines()] == list(range(200))


async def test_what_a_turn_has_logged_is_not_lost_at_the_end(target: LogTarget) -> None:
    logging.getLogger("postfix.smtpd").info("the last word")
    for handler in logging.getLogger("postfix").handlers:
        handler.flush()
    assert last(target.postfix_file).endswith("]: the last word")


async def test_a_thread_writes_its_lines_itself(target: LogTarget) -> None:
    await asyncio.to_thread(logging.getLogger("postfix.smtpd").info, "from a thread")
    assert last(target.postfix_file).endswith("]: from a thread")


def test_dovecot_form(target: LogTarget) -> None:
    logging.getLogger("dovecot.imap-login").warning("Disconnected")
    assert re.fullmatch(rf"{STAMP} imap-login: Warning: Disconnected", last(target.dovecot_file))


def test_peer_cannot_forge_a_line_or_drive_a_terminal(target: LogTarget) -> None:
    logging.getLogger("postfix.smtpd").info("helo=<%s>", "x\r\nNov 22 postfix/smtpd[1]: forged\x1b[2J\x9b31m\0")
    line = last(target.postfix_file)
    assert line.endswith("helo=<x? | Nov 22 postfix/smtpd[1]: forged?[2J?31m?>")


def test_traceback_is_one_line(target: LogTarget) -> None:
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        logging.getLogger("postfix.smtpd").exception("session failed")
    assert re.search(
        r"error: session failed: ValueError: one \| two \(at test_logs\.py:\d+\)$", last(target.postfix_file)
    )


def test_log_files_are_private(target: LogTarget) -> None:
    assert target.postfix_file is not None
    logging.getLogger("postfix.smtpd").info("x")
    assert stat.S_IMODE(target.postfix_file.stat().st_mode) == 0o600


def test_rotated_file_is_let_go(target: LogTarget) -> None:
    assert target.postfix_file is not None
    logger = logging.getLogger("postfix.smtpd")
    logger.info("before")
    target.postfix_file.rename(target.postfix_file.with_suffix(".1"))
    logs.reopen()
    logger.info("after")
    assert last(target.postfix_file).endswith("after")
    assert last(target.postfix_file.with_suffix(".1")).endswith("before")


def test_link_in_place_of_a_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        logs.open_log(tmp_path / "link")
