"""Appending under locks, and what is left when it fails."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from pathlib import Path

import pytest

from mta.delivery.host import maildir, rights
from mta.delivery.host.copy import COMMAND, MBOX, Form, copied
from mta.delivery.host.mailbox import Locking, Target, append
from mta.delivery.host.rights import CannotBecome, ChildFailed, Rights, act_as, acting
from tests.mta.delivery.host.letters import ME

QUICK = Locking(attempts=2, delay=0.01)
SELF = Rights(os.geteuid(), os.getegid())


def test_appends_and_leaves_no_lock(tmp_path: Path) -> None:
    box = tmp_path / "box"
    for octets in (b"one\n", b"two\n"):
        assert append(Target(str(box), SELF), octets, QUICK) is None
    assert box.read_bytes() == b"one\ntwo\n"
    assert [path.name for path in tmp_path.iterdir()] == ["box"]
    assert box.stat().st_mode & 0o777 == 0o600


def test_waits_for_the_lock_of_another(tmp_path: Path) -> None:
    box = tmp_path / "box"
    (tmp_path / "box.lock").touch()
    status, reason = append(Target(str(box), SELF), b"x", QUICK) or ("", "")
    assert (status, reason) == ("4.2.0", f"unable to create lock file {box}.lock: File exists")
    assert not box.exists()


def test_a_lock_that_is_too_old_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "box.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    assert append(Target(str(tmp_path / "box"), SELF), b"x", QUICK) is None


async def test_a_reader_with_a_lock_is_not_disturbed(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_bytes(b"old\n")
    with box.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        verdict = await act_as(SELF, lambda: append(Target(str(box), SELF), b"x", QUICK))
    assert verdict[0] == "4.2.0"
    assert box.read_bytes() == b"old\n"


@pytest.mark.parametrize("kind", ["directory", "link", "hardlink", "fifo"])
def test_only_a_plain_file_is_a_mailbox(tmp_path: Path, kind: str) -> None:
    box, other = tmp_path / "box", tmp_path / "other"
    other.touch()
    make = {"directory": box.mkdir, "link": lambda: box.symlink_to(other), "fifo": lambda: os.mkfifo(box)}
    make.get(kind, lambda: box.hardlink_to(other))()
    verdict = append(Target(str(box), SELF), b"x", QUICK)
    assert verdict is not None
    assert verdict[0] == "5.2.0"
    assert other.read_bytes() == b""


async def test_a_mailbox_that_grows_too_large_stays_as_it_was(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_bytes(b"old\n")
    verdict = await act_as(SELF, lambda: append(Target(str(box), SELF), b"x" * 5000, QUICK), file_limit=4096)
    assert verdict == ["5.2.2", f"error writing message: {os.strerror(errno.EFBIG)}"]
    assert box.read_bytes() == b"old\n"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_somebody_elses_mailbox(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.touch()
    other = Rights(SELF.uid + 1, SELF.gid)
    assert append(Target(str(box), other, owned=True), b"x", QUICK) == (
        "4.2.0",
        f"destination {box} is not owned by recipient",
    )


def test_a_program_is_no_mailbox(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.touch(0o700)
    assert append(Target(str(box), SELF, regular=False), b"x", QUICK) == ("5.7.1", "file is executable")


def test_maildir_errors_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("no directory")
    verdict = maildir.deliver(str(tmp_path), b"x", "5.2.0")
    assert verdict is not None
    assert verdict[0] == "5.2.0"
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Form(), b"H: 1\n\nFrom x\n.y\n"),
        (Form(frozenset("B>.")), b"H: 1\n\n>From x\n..y\n\n"),
        (Form(frozenset("R")), b"Return-Path: <a b@c>\nH: 1\n\nFrom x\n.y\n".replace(b"a b", b'"a b"')),
        (Form(frozenset("OD"), b"\r\n"), b"X-Original-To: o@c\r\nDelivered-To: d@c\r\nH: 1\r\n\r\nFrom x\r\n.y\r\n"),
    ],
)
def test_copies(form: Form, expected: bytes) -> None:
    content = b"H: 1\r\n\r\nFrom x\r\n.y\r\n"
    assert copied(content, form, sender="a b@c", original="o@c", delivered="d@c", now=0.0) == expected


def test_the_null_sender() -> None:
    for form in (MBOX, COMMAND):
        octets = copied(b"H: 1\r\n", form, sender="", original="", delivered="d@c", now=0.0)
        assert octets.startswith(b"From MAILER-DAEMON  ")
        assert b"\nReturn-Path: <>\n" in octets


# --- acting as another user ------------------------------------------------------------------------------------------


async def test_the_child_is_the_recipient_and_nothing_more() -> None:
    assert await act_as(ME, lambda: [*os.getresuid(), *os.getresgid()]) == [ME.uid] * 3 + [ME.gid] * 3
    assert await act_as(ME, os.getgroups) == ([ME.gid] if os.geteuid() == 0 else os.getgroups())


async def test_what_a_child_meets_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        await act_as(SELF, lambda: Path("/no/such/file").read_text())
    with pytest.raises(ChildFailed, match="ZeroDivisionError"):
        await act_as(SELF, lambda: 1 // 0)
    with pytest.raises(ChildFailed, match="ended before its time"):
        await act_as(SELF, lambda: os._exit(1))


async def test_an_ordinary_user_is_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "privileged", lambda: False)
    with pytest.raises(CannotBecome):
        await act_as(Rights(os.geteuid() + 1, 1), lambda: 1)


async def test_root_opens_and_the_recipient_writes(tmp_path: Path) -> None:
    def work() -> list[int]:
        with acting(ME):
            inside = os.geteuid()
        return [inside, os.geteuid()]

    assert await act_as(SELF, work) == [ME.uid, SELF.uid]
