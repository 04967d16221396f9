"""saslauthd's directory: who may enter it may try passwords, so its permissions are looked at before all else."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from pathlib import Path

from . import mux


class CannotStart(Exception):
    """One line for the operator."""


def open_directory(directory: Path) -> tuple[socket.socket, int]:
    """The listening socket, and the descriptor that holds the lock. Raises CannotStart.

    The directory guards the socket: whoever may enter it may try passwords; whoever may write in it could put a socket
    of his own in the place of ours and be told all of them.
    """
    try:
        directory.mkdir(0o755, exist_ok=True)
        status = directory.stat()
        if status.st_mode & stat.S_IWOTH or status.st_uid not in (0, os.geteuid()):
            raise CannotStart(
                f"{directory} may be written by others, who could read passwords there: "
                f"install -d -m 0750 -g sasl {directory}"
            )
        lock = os.open(directory / "saslauthd.pid", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CannotStart(
            f"{error.filename}: {error.strerror}: make the directory with `install -d -m 0750 -g sasl {directory}`, "
            f"owned by the user that runs saslauthd"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise CannotStart(f"{directory}: another saslauthd runs here, process {holder or 'unknown'}") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return _listen(directory / mux.SOCKET), lock


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)  # of one that was killed: the lock is ours
        listener.bind(str(path))
        path.chmod(0o777)  # as saslauthd's own: the directory decides
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise CannotStart(f"cannot listen on {path}: {error.strerror or error}") from None
    listener.setblocking(False)
    return listener
