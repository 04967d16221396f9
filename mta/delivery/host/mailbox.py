"""Appending to a mailbox or a file, with the locks that other mail programs expect (mbox_open(3), dot_lockfile(3)).

Runs in the child that is the recipient (rights.py): nothing here is asynchronous.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.delivery.host.rights import Rights, acting

Verdict = tuple[str, str]
"""Enhanced status code and reason."""

_FLAGS: Final = os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Locking:
    """How a mailbox is locked before it is written to."""

    methods: frozenset[str] = frozenset({"fcntl", "dotlock"})
    """fcntl, flock, dotlock"""
    attempts: int = 20
    delay: float = 1.0
    """Seconds."""
    stale: float = 500.0
    """Seconds after which a lock file is somebody's leftover."""


class NoMailbox(Exception):
    """The mailbox cannot be had; carries the verdict."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.verdict: Verdict = (status, reason)


def mailbox_status(number: int | None, otherwise: str) -> str:
    """The enhanced status code of a failed file operation (mbox_dsn)."""
    if number in (errno.EAGAIN, errno.ESTALE):
        return "4.2.0"
    if number == errno.ENOSPC:
        return "4.3.0"
    if number in (errno.EDQUOT, errno.EFBIG):
        return "5.2.2"
    return otherwise


@dataclass(frozen=True, slots=True)
class Target:
    """A mailbox, and what it must be like."""

    path: str
    rights: Rights
    """Whose mail it is: who writes, and who owns a new file."""
    owned: bool = False
    """It must belong to that user (strict_mailbox_ownership)."""
    regular: bool = True
    """False: /file destinations may be devices, and may do without a lock file."""
    otherwise: str = "5.2.0"
    """Status of failures that no rule of their own covers."""
    not_regular: Verdict | None = None
    """What to say of a mailbox that is no regular file."""


def append(target: Target, octets: bytes, locking: Locking) -> Verdict | None:
    """Append durably; None if it went well. On failure the file is as it was."""
    try:
        with _dot_lock(target, locking):
            fd = _open(target)
            try:
                status = os.fstat(fd)
                refusal = _refusal(target, status)
                if refusal:
                    return refusal
                if stat.S_ISREG(status.st_mode):
                    _lock(fd, locking)
                with acting(target.rights):
                    return _write(fd, octets, target.otherwise, regular=stat.S_ISREG(status.st_mode))
            finally:
                os.close(fd)
    except NoMailbox as error:
        return error.verdict


def _refusal(target: Target, status: os.stat_result) -> Verdict | None:
    regular = stat.S_ISREG(status.st_mode)
    if target.regular and not regular:
        return target.not_regular or ("5.2.0", f"destination {target.path} is not a regular file")
    if regular and status.st_nlink > 1:
        return "5.2.0", f"file {target.path} has {status.st_nlink} hard links"
    if target.owned and status.st_uid != target.rights.uid:
        return "4.2.0", f"destination {target.path} is not owned by recipient"
    if not target.regular and regular and status.st_mode & 0o111:
        return "5.7.1", "file is executable"
    return None


def _open(target: Target) -> int:
    """Open or create; who creates as root gives the file away. Raises NoMailbox."""
    try:
        try:
            fd = os.open(target.path, _FLAGS)
        except FileNotFoundError:
            fd = os.open(target.path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            if os.geteuid() == 0:
                os.fchown(fd, target.rights.uid, target.rights.gid)
            _sync_directory(Path(target.path).parent)
    except OSError as error:
        status = mailbox_status(error.errno, target.otherwise)
        raise NoMailbox(status, f"cannot open file: {error.strerror}") from error
    os.set_blocking(fd, True)
    return fd


def _write(fd: int, octets: bytes, otherwise: str, *, regular: bool) -> Verdict | None:
    end = os.lseek(fd, 0, os.SEEK_END) if regular else 0
    try:
        view = memoryview(octets)
        while view:
            view = view[os.write(fd, view) :]
        if regular:
            os.fsync(fd)
    except OSError as error:
        if regular:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, end)
        return mailbox_status(error.errno, "5.3.0"), f"error writing message: {error.strerror}"
    return None


def _lock(fd: int, locking: Locking) -> None:
    for method, lock in (("fcntl", fcntl.lockf), ("flock", fcntl.flock)):
        if method not in locking.methods:
            continue
        for attempt in range(locking.attempts):
            try:
                lock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES) or attempt == locking.attempts - 1:
                    reason = f"unable to lock for exclusive access: {error.strerror}"
                    raise NoMailbox("4.2.0", reason) from error
            time.sleep(locking.delay)


@contextlib.contextmanager
def _dot_lock(target: Target, locking: Locking) -> Iterator[None]:
    """mailbox.lock beside the mailbox, made so that only one can make it."""
    path = Path(f"{target.path}.lock")
    made = "dotlock" in locking.methods and _make_lock(path, target, locking)
    try:
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                path.unlink()


def _make_lock(path: Path, target: Target, locking: Locking) -> bool:
    for attempt in range(locking.attempts):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            return True
        except FileExistsError as error:
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > locking.stale:
                    path.unlink()
                    continue
            if attempt == locking.attempts - 1:
                raise NoMailbox("4.2.0", f"unable to create lock file {path}: {error.strerror}") from error
        except OSError as error:
            if not target.regular:
                return False  # a file in a place where its user may not make others
            status = mailbox_status(error.errno, target.otherwise)
            raise NoMailbox(status, f"unable to create lock file {path}: {error.strerror}") from error
        time.sleep(locking.delay)
    return False


def _sync_directory(path: Path) -> None:
    with contextlib.suppress(PermissionError):  # searchable, but not to be listed
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
