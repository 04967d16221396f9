"""Being told of changes in a mailbox: inotify(7) on cur/ and new/, or polling where there is none."""

import contextlib
import ctypes
import errno
import os

from imap.store.jail import Directory

_IN_CREATE, _IN_DELETE, _IN_MOVED_FROM, _IN_MOVED_TO = 0x100, 0x200, 0x40, 0x80
_IN_DELETE_SELF, _IN_MOVE_SELF = 0x400, 0x800
_MASK = _IN_CREATE | _IN_DELETE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_DELETE_SELF | _IN_MOVE_SELF
_libc = ctypes.CDLL(None, use_errno=True)

# Without inotify (its instances are limited per user: fs.inotify.max_user_instances) sync() is due this often.
POLL_SECONDS = 5.0
_BUFFER = 64 * 1024


class Watch:
    """Changes of some directories. Register fileno() with the event loop; when readable: drain(), then sync().

    `interval` is None, or the seconds after which to sync() anyhow because nothing tells (then fileno() is -1).
    """

    def __init__(self, directories: list[Directory]) -> None:
        self._fd = -1
        self.interval: float | None = POLL_SECONDS
        try:
            self._fd = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            for directory in directories:
                # The directory is named by its descriptor: no path is looked up again.
                name = f"/proc/self/fd/{directory.fd}".encode()
                _check(_libc.inotify_add_watch(self._fd, name, _MASK))
            self.interval = None
        except OSError:
            self.close()

    def fileno(self) -> int:
        """The descriptor that becomes readable on a change; -1 when only polling is possible."""
        return self._fd

    def drain(self) -> bool:
        """Take all events that have come up; returns whether there were any."""
        if self._fd < 0:
            return True
        seen = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._fd, _BUFFER):
                seen = True
        return seen

    def close(self) -> None:
        """Stop watching."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno() or errno.EINVAL
        raise OSError(number, os.strerror(number))
    return result
