"""Opening places that another user may have prepared: no link of somebody else is ever followed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# As many links as the kernel follows in one path (path_resolution(7)).
LINKS_MAX = 40

_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(path: Path) -> int:
    """An O_PATH descriptor of a directory, for openat(2) and its like.

    Links that root or the present user made (/var/run) are followed. Any other could send root anywhere, and could
    be turned between a check and its use: it is refused. Raises OSError with the path in it.
    """
    todo = [*reversed(path.absolute().parts[1:])]
    trusted = (0, os.geteuid())
    links = 0
    current = os.open("/", _PLACE)
    try:
        while todo:
            fd = os.open(todo.pop(), _PLACE, dir_fd=current)
            status = os.fstat(fd)
            if not stat.S_ISLNK(status.st_mode):
                os.close(current)
                current = fd
                if not stat.S_ISDIR(status.st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                continue
            try:
                target = Path(os.readlink("", dir_fd=fd))
            finally:
                os.close(fd)
            links += 1
            if links > LINKS_MAX or status.st_uid not in trusted:
                raise OSError(errno.ELOOP, "a symbolic link of another user is in the way")
            if target.is_absolute():
                os.close(current)
                current = os.open("/", _PLACE)
            todo += [part for part in reversed(target.parts) if part != "/"]
    except OSError as error:
        os.close(current)
        raise OSError(error.errno, error.strerror, str(path)) from None
    return current


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of a file, whose directory is found as by `open_directory` and which is no link itself.

    A second hard link is refused too: the file may be somebody else's under its other name. Raises OSError.
    """
    directory = open_directory(path.parent)
    try:
        # O_NONBLOCK: a pipe in its place must not hold us up.
        fd = os.open(path.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(directory)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        os.close(fd)
        raise OSError(errno.EMLINK, "the file has another name elsewhere", str(path))
    os.set_blocking(fd, True)
    return fd


def make_directories(path: Path, mode: int = 0o755) -> None:
    """Make a directory and its parents where they are missing, through no link of another user. Raises OSError."""
    try:
        os.close(open_directory(path))
    except FileNotFoundError:
        make_directories(path.parent, mode)
        parent = open_directory(path.parent)
        try:
            os.mkdir(path.name, mode, dir_fd=parent)
        except FileExistsError:
            os.close(open_directory(path))
        finally:
            os.close(parent)
