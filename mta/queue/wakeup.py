"""Tells the queue manager through public/qmgr that there is work, in one octet as Postfix's services do."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Final

SCAN_INCOMING: Final = b"I"
SCAN_DEFERRED: Final = b"D"
IGNORE_TIME: Final = b"A"
"""With SCAN_DEFERRED: try deferred mail now, due or not (postqueue -f)."""
FLUSH_DEAD: Final = b"F"
"""Forget which destinations are dead."""

SOCKET: Final = "public/qmgr"


class Wakeup:
    """Sends from one process; the connection is kept. Never blocks and never fails: the queue manager also polls."""

    def __init__(self, queue_directory: Path) -> None:
        self._path = str(queue_directory / SOCKET)
        self._socket: socket.socket | None = None

    def send(self, octets: bytes = SCAN_INCOMING) -> bool:
        """True if the queue manager's socket took it."""
        for fresh in (False, True):
            if self._socket is None or fresh:
                self.close()
                self._socket = _connect(self._path)
                if self._socket is None:
                    return False
            try:
                self._socket.send(octets, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return True  # its buffer is full of wake-ups: it knows
            except OSError:
                continue  # it was restarted meanwhile
            return True
        return False

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connect(path: str) -> socket.socket | None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with contextlib.suppress(OSError):  # nobody there, or no descriptor left
            candidate = socket.socket(socket.AF_UNIX, kind)
            try:
                candidate.setblocking(False)
                candidate.connect(path)
            except OSError:
                candidate.close()
                raise
            return candidate
    return None
