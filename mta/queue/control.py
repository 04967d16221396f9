"""Asks the running queue manager for something over public/qmgr."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path
from typing import Final

from mta.queue.wakeup import SOCKET, Wakeup

ACTIVE_REQUEST: Final = b"active"
REPLY_SIZE: Final = 60_000
"""Octets of one reply datagram; a list of ids takes several, an empty one ends it."""
PATIENCE: Final = 2.0
"""Seconds to wait for each of them."""


def send(queue_directory: Path, request: bytes) -> bool:
    """Send a request that has no answer; False if no queue manager listens."""
    wakeup = Wakeup(queue_directory)
    try:
        return wakeup.send(request)
    finally:
        wakeup.close()


def active_ids(queue_directory: Path) -> set[str]:
    """Queue ids of the active queue; empty if no queue manager runs or answers."""
    found: set[str] = set()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            # A name in the abstract space: nothing is left behind in the file system.
            client.bind(f"\0hardmail-{os.getpid()}-{secrets.token_hex(8)}")
            client.connect(str(queue_directory / SOCKET))
            client.send(ACTIVE_REQUEST)
            while reply := client.recv(REPLY_SIZE + 1):
                found.update(reply.decode("ascii", "replace").split())
    return found


def replies(ids: list[str]) -> list[bytes]:
    """The answer to ACTIVE_REQUEST."""
    portions: list[bytes] = []
    portion = ""
    for queue_id in ids:
        if len(portion) + len(queue_id) + 1 > REPLY_SIZE:
            portions.append(portion.encode())
            portion = ""
        portion += f"{queue_id} "
    return [*portions, portion.encode(), b""] if portion else [*portions, b""]
