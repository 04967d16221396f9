"""The socket of `hardmail watch`: gives its owner the end of a socket pair on which the services tell what is said.

The supervisor takes no part in what follows: a service sends while the octet that it shares with all processes says
that somebody watches, and never waits. When the watcher hangs up the octet says no again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
from pathlib import Path

from auth import wiretap
from lab.supervisor.workers import Workers

BUFFER = 4 << 20
"""Octets that wait for a watcher, as far as the kernel permits; what does not fit is dropped and counted."""


class Watching:
    """One watcher at a time."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._flag = mmap.mmap(-1, mmap.PAGESIZE)
        self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sender.setblocking(False)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._listener: socket.socket | None = None
        self._watcher: socket.socket | None = None
        self._path = Path()

    @property
    def listens(self) -> bool:
        """Whether watchers can come."""
        return self._listener is not None

    def listen(self, path: Path) -> None:
        """Wait for watchers there: a socket of this user alone (and root's). Raises OSError."""
        path.unlink(missing_ok=True)
        self._listener, self._path = socket.socket(socket.AF_UNIX), path
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(1)
        self._listener.setblocking(False)
        self._workers.listen_to(self._listener)

    def in_child(self, service: str) -> None:
        """In a service process: tell through the sender, let go of the rest."""
        for end in (self._receiver, self._listener, self._watcher):
            if end is not None:
                end.close()
        wiretap.install(self._flag, self._sender, service)

    def advance(self) -> None:
        """Let a watcher in, or notice that it has gone."""
        if self._watcher is not None and _gone(self._watcher):
            self._flag[0] = 0
            self._workers.ignore(self._watcher)
            self._watcher.close()
            self._watcher = None
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            while True:
                self._greet(self._listener.accept()[0])

    def _greet(self, client: socket.socket) -> None:
        if not _allowed(client) or self._watcher is not None:
            client.send(b"taken" if self._watcher is not None else b"no")
            client.close()
            return
        self._empty()
        self._flag[0] = 1  # before the watcher knows: it misses nothing from then on
        socket.send_fds(client, [b"watch"], [self._receiver.fileno()])
        client.setblocking(False)
        self._watcher = client
        self._workers.listen_to(client)

    def _empty(self) -> None:
        """What the last watcher has not read is not for the next one."""
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(1, socket.MSG_DONTWAIT):
                pass

    def close(self) -> None:
        """The supervisor ends."""
        for end in (self._receiver, self._sender, self._listener, self._watcher):
            if end is not None:
                end.close()
        if self._listener is not None:
            self._path.unlink(missing_ok=True)


def _gone(client: socket.socket) -> bool:
    try:
        return not client.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _allowed(client: socket.socket) -> bool:
    """The mode of the socket says the same; this holds where a file system knows no modes."""
    _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return uid in (0, os.geteuid())
