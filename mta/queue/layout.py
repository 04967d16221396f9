"""The queue directory: what lies in it, whose it is, and how root prepares it for the service user."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

DATABASE: Final = "queue.db"
BODIES: Final = "bodies"
"""Contents too large for the database, one file each, named by queue id."""
CORRUPT: Final = "corrupt"
"""What was torn or is not ours; for a person to look at."""
MAILDROP: Final = "maildrop"
"""Dropped by sendmail(1), not yet looked at by pickup(8)."""
PUBLIC: Final = "public"
PRIVATE: Final = "private"
PID: Final = "pid"
WRITE_LOCK: Final = "write.lock"
"""flock(2)ed around every write: fair between processes, where SQLite's own busy handler would poll."""
MANAGER_LOCK: Final = "qmgr.lock"
"""Held by the one queue manager, as long as it lives."""

DIRECTORIES: Final = (BODIES, CORRUPT, MAILDROP, PUBLIC, PRIVATE, PID)
DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def prepare(queue_directory: Path | str, uid: int | None = None, gid: int | None = None) -> None:
    """Make the queue directory and those below it, mode 0700, owned by uid:gid (None: leave the owner alone).

    Run by the supervisor as root before the services start, or by anyone on his own queue. Files that stand directly in
    these directories change owner too, so that a queue once used as root stays usable. A symbolic link where a
    directory is expected is refused, never followed: root must not be led to hand out a foreign directory.

    Raises OSError with the path in it.
    """
    top = Path(queue_directory)
    made = not top.is_dir()
    top.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    # The queue directory itself is named by the configuration; what is below it may have been made by the service user.
    top_fd = os.open(top, flags)
    try:
        _own_directory(top_fd, uid, gid, DIRECTORY_MODE)
        _own_files(top_fd, uid, gid)
        for name in DIRECTORIES:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, DIRECTORY_MODE, dir_fd=top_fd)
                made = True
            fd = os.open(name, flags | os.O_NOFOLLOW, dir_fd=top_fd)
            try:
                _own_directory(fd, uid, gid, DIRECTORY_MODE)
                _own_files(fd, uid, gid)
            finally:
                os.close(fd)
        if made:
            # What is accepted into a directory is lost with its name.
            os.fsync(top_fd)
            sync_directory(top.absolute().parent)
    finally:
        os.close(top_fd)


def sync_directory(path: Path) -> None:
    """Make names that were added, renamed or removed in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def give_to_owner(fd: int, directory: Path) -> None:
    """What root makes in a queue belongs to the queue's owner; for anyone else this does nothing."""
    if os.geteuid() == 0:
        owner, status = directory.stat(), os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:  # not somebody else's under another name
            os.fchown(fd, owner.st_uid, owner.st_gid)


def _own_directory(fd: int, uid: int | None, gid: int | None, mode: int) -> None:
    status = os.fstat(fd)
    if uid is not None and (status.st_uid, status.st_gid) != (uid, status.st_gid if gid is None else gid):
        os.fchown(fd, uid, -1 if gid is None else gid)
    if os.geteuid() in (0, status.st_uid) and status.st_mode & 0o7777 != mode:
        os.fchmod(fd, mode)


def _own_files(directory_fd: int, uid: int | None, gid: int | None) -> None:
    if uid is None or os.geteuid() != 0:
        return
    with os.scandir(directory_fd) as entries:
        names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    for name in names:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
        except OSError:
            continue  # gone, or turned into a link meanwhile: not ours to own
        try:
            status = os.fstat(fd)
            # A hard link could lead to someone else's file: own only what has this one name.
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid != uid:
                os.fchown(fd, uid, -1 if gid is None else gid)
        finally:
            os.close(fd)
