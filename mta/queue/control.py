"""Asks the running queue manager for something over public/qmgr."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.queue.wakeup import SOCKET, Wakeup

ACTIVE_REQUEST: Final = b"active"
"""Comes with a descriptor: one end of a stream, on which the queue ids of the active queue are the answer. So the queue
manager, confined as it is, opens no socket of anybody's."""
SITE_REQUEST: Final = b"site "
"""With a domain: its mail is to be tried now."""
PENDING_REQUEST: Final = b"pending"
"""Comes with a descriptor, too: the answer is Pending."""
PORTION: Final = 1 << 16
"""Octets read at once."""
PATIENCE: Final = 0.5
"""Seconds to wait for an answer; a listing without marks is better than a late one."""


def send(queue_directory: Path, request: bytes) -> bool:
    """Send a request that has no answer; False if no queue manager listens."""
    wakeup = Wakeup(queue_directory)
    try:
        return wakeup.send(request)
    finally:
        wakeup.close()


def flush_site(queue_directory: Path, domain: str) -> bool:
    """Have the deferred mail for a domain tried now (ETRN, postqueue -s); False if no queue manager listens."""
    return send(queue_directory, SITE_REQUEST + domain.encode("ascii", "replace"))


@dataclass(frozen=True, slots=True)
class Pending:
    """What a queue manager has before it."""

    idle: bool
    """Nothing is under way, and nothing is left to look at."""
    next_run: float | None
    """Seconds until the first queue run that finds deferred mail due; None: there is no deferred mail."""

    def wire(self) -> bytes:
        return f"{int(self.idle)} {'' if self.next_run is None else self.next_run}".encode()

    @classmethod
    def parse(cls, answer: bytes) -> Pending:
        """Raises ValueError."""
        idle, _, when = answer.decode("ascii").partition(" ")
        return cls(idle == "1", float(when) if when else None)


def active_ids(queue_directory: Path) -> set[str]:
    """Queue ids of the active queue; empty if no queue manager runs or answers."""
    answer = _ask(queue_directory, ACTIVE_REQUEST)
    # Cut off in the middle, the last id is none.
    return set(answer.decode("ascii", "replace").split(" ")[:-1])


def pending(queue_directory: Path) -> Pending | None:
    """What is before the queue manager; None if none runs or answers."""
    answer = _ask(queue_directory, PENDING_REQUEST)
    return Pending.parse(answer) if answer else None


def _ask(queue_directory: Path, request: bytes) -> bytes:
    """The answer to a request that takes a descriptor for it; empty if nobody answers."""
    answer = bytearray()
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client, contextlib.suppress(OSError):
        client.setblocking(False)
        client.connect(str(queue_directory / SOCKET))
        socket.send_fds(client, [request], [theirs.fileno()])
        theirs.close()
        ours.settimeout(PATIENCE)
        while portion := ours.recv(PORTION):
            answer += portion
    return bytes(answer)


def reply(ids: list[str]) -> bytes:
    """The answer to ACTIVE_REQUEST."""
    return "".join(f"{queue_id} " for queue_id in ids).encode("ascii")
