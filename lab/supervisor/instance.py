"""One supervisor for each instance: the lock on its process id files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from lab.errors import AlreadyRunning, LabError
from lab.sandbox.walk import open_directory, open_file

# Seconds to wait for the processes of a predecessor that was killed: they die with it, but not in the same instant.
GRACE_SECONDS = 2.0


class InstanceLock:
    """An exclusive flock(2) on a process id file such as Postfix's pid/master.pid; it dies with its holder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stale = False  # a predecessor left its number behind: it was killed
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock and write our process id. Raises AlreadyRunning, naming the holder, or LabError."""
        deadline = time.monotonic() + GRACE_SECONDS
        while (descriptor := self._try(time.monotonic() > deadline)) is None:
            time.sleep(0.02)
        self._descriptor = descriptor
        self.stale = self._holder(descriptor) is not None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)

    def _try(self, last: bool) -> int | None:
        """The locked descriptor, or None when it is worth trying again. Raises AlreadyRunning or LabError."""
        try:
            descriptor = open_file(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise LabError(f"cannot open {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._stands(descriptor):
                return descriptor
        except BlockingIOError:
            holder = self._holder(descriptor)
            if last or _alive(holder):
                os.close(descriptor)
                raise AlreadyRunning(f"already running: process {holder or 'unknown'} holds {self.path}") from None
        os.close(descriptor)
        return None

    def _stands(self, descriptor: int) -> bool:
        """Whether the locked file still stands at its path: a stopping holder removes it while holding the lock."""
        ours = os.fstat(descriptor)
        try:
            there = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    @staticmethod
    def _holder(descriptor: int) -> int | None:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else None

    def release(self) -> None:
        """Remove the file and let go of the lock."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # the directory may be the service user's, and gone
                directory = open_directory(self.path.parent)
                try:
                    if self._stands(self._descriptor):
                        os.unlink(self.path.name, dir_fd=directory)
                finally:
                    os.close(directory)
            self.forget()

    def forget(self) -> None:
        """In a forked child: close our copy, so that the lock ends with the supervisor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
