"""Being told of changes in mailboxes: one inotify(7) instance per process, an eventfd(2) per watch; else polling.

Inotify instances are few (fs.inotify.max_user_instances, often 128 for the one user that all mail belongs to), so all
watches of a process share one. A thread reads it and rings the eventfd of every watch that is concerned.
"""

import contextlib
import ctypes
import errno
import logging
import os
import struct
import threading

from imap.store.jail import Directory

log = logging.getLogger("dovecot.store")

_IN_CREATE, _IN_DELETE, _IN_MOVED_FROM, _IN_MOVED_TO = 0x100, 0x200, 0x40, 0x80
_IN_DELETE_SELF, _IN_MOVE_SELF = 0x400, 0x800
_IN_Q_OVERFLOW, _IN_IGNORED = 0x4000, 0x8000
_MASK = _IN_CREATE | _IN_DELETE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_DELETE_SELF | _IN_MOVE_SELF
_HEAD = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)

# Without inotify sync() is due this often.
POLL_SECONDS = 5.0
_BUFFER = 64 * 1024


class _Hub:
    """The process's inotify instance: which watches are rung for which watch descriptor."""

    def __init__(self) -> None:
        self._fd = -1
        self._process = 0
        self._lock = threading.Lock()
        self._bells: dict[int, list[int]] = {}

    def add(self, directory: Directory, bell: int) -> int:
        """Ring `bell` for changes in a directory; returns the watch descriptor. Raises OSError."""
        with self._lock:
            self._start()
            # The directory is named by its descriptor: no path is looked up again.
            name = f"/proc/self/fd/{directory.fd}".encode()
            descriptor = _check(_libc.inotify_add_watch(self._fd, name, _MASK))
            self._bells.setdefault(descriptor, []).append(bell)
            return descriptor

    def remove(self, descriptor: int, bell: int) -> None:
        """Undo add()."""
        with self._lock:
            bells = self._bells.get(descriptor, [])
            if bell in bells:
                bells.remove(bell)
            if not bells and self._bells.pop(descriptor, None) is not None:
                _libc.inotify_rm_watch(self._fd, descriptor)  # fails if the directory is gone: as well

    def _start(self) -> None:
        """The first use in this process (it may have been forked from one that had a hub)."""
        if self._fd >= 0 and self._process == os.getpid():
            return
        self._fd = _check(_libc.inotify_init1(os.O_CLOEXEC))
        self._process = os.getpid()
        self._bells = {}
        try:
            threading.Thread(target=self._read, args=(self._fd,), name="inotify", daemon=True).start()
        except RuntimeError as error:  # a limit on processes
            os.close(self._fd)
            self._fd = -1
            raise OSError(errno.EAGAIN, str(error)) from error

    def _read(self, fd: int) -> None:
        while True:
            try:
                events = os.read(fd, _BUFFER)
            except OSError as error:
                log.error("inotify: %s", error)
                return
            position = 0
            rung: set[int] = set()
            with self._lock:
                while position < len(events):
                    descriptor, mask, _, length = _HEAD.unpack_from(events, position)
                    position += _HEAD.size + length
                    if mask & _IN_Q_OVERFLOW:  # something was missed: tell everybody
                        rung.update(bell for bells in self._bells.values() for bell in bells)
                    rung.update(self._bells.get(descriptor, ()))
                    if mask & _IN_IGNORED:
                        self._bells.pop(descriptor, None)
                # Inside the lock, so that no bell is closed and its number given to something else meanwhile.
                for bell in rung:
                    with contextlib.suppress(OSError):
                        os.eventfd_write(bell, 1)


_hub = _Hub()


class Watch:
    """Changes of some directories. Register fileno() with the event loop; when readable: drain(), then sync().

    `interval` is None, or the seconds after which to sync() anyhow because nothing tells (then fileno() is -1).
    """

    def __init__(self, directories: list[Directory]) -> None:
        self._bell = -1
        self._descriptors: list[int] = []
        self.interval: float | None = POLL_SECONDS
        try:
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            for directory in directories:
                self._descriptors.append(_hub.add(directory, self._bell))
            self.interval = None
        except OSError as error:
            log.warning("no inotify, polling instead: %s", error)
            self.close()

    def fileno(self) -> int:
        """The descriptor that becomes readable on a change; -1 when only polling is possible."""
        return self._bell

    def drain(self) -> bool:
        """Take the news; returns whether there was any."""
        if self._bell < 0:
            return True
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Stop watching."""
        for descriptor in self._descriptors:
            _hub.remove(descriptor, self._bell)
        self._descriptors = []
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno() or errno.EINVAL
        raise OSError(number, os.strerror(number))
    return result
