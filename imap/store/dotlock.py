"""Dot locks, Dovecot's way to lock `dovecot-uidlist`, `dovecot-keywords` and `subscriptions` between programs.

The lock of FILE is the existence of FILE.lock, which holds `pid:host` of its owner. A lock whose owner is a dead
process of this host, or that was not touched for two minutes, is stale and is taken over.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imap.store.errors import InUse
from imap.store.jail import Directory

STALE_SECONDS = 120  # as long as Dovecot waits before it overrides a lock that nobody touches
WAIT_SECONDS = 20.0  # then the client is told to try again
_POLL_SECONDS = 0.01
_UNWRITTEN_SECONDS = 1.0  # an empty lock this old: its maker died between making and writing it


@contextmanager
def dotlock(directory: Directory, name: str, wait: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold NAME.lock in `directory`. Raises InUse when it is not free in time."""
    lock = name + ".lock"
    owner = f"{os.getpid()}:{os.uname().nodename}".encode()
    deadline = time.monotonic() + wait
    while not _try(directory, lock, owner):
        if _stale(directory, lock):
            directory.unlink(lock, missing_ok=True)
            continue
        if time.monotonic() > deadline:
            raise InUse(reason=f"{directory.path}/{lock} is held")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        directory.unlink(lock, missing_ok=True)


def _try(directory: Directory, lock: str, owner: bytes) -> bool:
    try:
        directory.write(lock, owner, sync=False)
    except FileExistsError:
        return False
    return True


def _stale(directory: Directory, lock: str) -> bool:
    """Whether the lock's owner is gone for good."""
    try:
        content = directory.read(lock, limit=4096)
        age = time.time() - directory.stat(lock).st_mtime
    except FileNotFoundError:
        return False
    if age > (STALE_SECONDS if content else _UNWRITTEN_SECONDS):
        return True
    process, _, host = content.decode("ascii", "replace").partition(":")
    if host.strip() != os.uname().nodename or not process.isdecimal() or len(process) > 9:
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
