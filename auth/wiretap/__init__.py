"""What a service shows to `hardmail watch`: its dialogues, line by line, without the secrets.

A connection calls `show(self, ...)` for what it has read and written, if `on()`, which is a look at one octet that all
processes of a supervisor share. Lines go out as datagrams over a socket pair. They are redacted here, before they leave
the process, and dropped and counted where the watcher does not take them: nothing ever waits for a watcher.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import mmap
    import socket

    from auth.wiretap.dialogues import Dialogue, Line

LINES_AT_ONCE: Final = 40
"""A datagram holds no more; each line is at most dialogues.SHOWN octets."""


class Ends(NamedTuple):
    """A connection as a watcher sees it; `user` is empty before log-in."""

    protocol: str
    """smtp, lmtp, imap, pop3 or auth."""
    client: str
    """Address and port, or what stands for them on a unix socket."""
    server: str
    tls: bool = False
    user: str = ""
    outgoing: bool = False
    """The service is the client: somebody elsewhere may serve, or another service that tells the same dialogue."""


class Shown(Protocol):
    """A connection that can be watched."""

    def wire_ends(self) -> Ends: ...


class _Tap:
    """Of this process; there is none to tell until a supervisor says so."""

    flag: mmap.mmap | bytes = b"\0"
    sender: socket.socket | None = None
    service = ""
    lost = 0
    """Datagrams that the watcher did not take, since the last that it took."""


_tap = _Tap()
_numbers = itertools.count(1)
_views: WeakKeyDictionary[Shown, tuple[str, Dialogue]] = WeakKeyDictionary()


def install(flag: mmap.mmap, sender: socket.socket, service: str) -> None:
    """Called in each service process: the octet that tells whether somebody watches, and where lines go."""
    _tap.flag, _tap.sender, _tap.service = flag, sender, service


def descriptors() -> set[int]:
    """What a service process must not close."""
    return {_tap.sender.fileno()} if _tap.sender is not None else set()


def on() -> bool:
    """Whether somebody watches."""
    return _tap.flag[0] != 0


def show(connection: Shown, data: bytes, *, client: bool) -> None:
    """Tell the watcher what the client, or else the server, has said."""
    from auth.wiretap.dialogues import DIALOGUES  # for those who are watched

    ends = connection.wire_ends()
    if connection not in _views:
        _views[connection] = f"{os.getpid()}-{next(_numbers)}", DIALOGUES[ends.protocol]()
    name, dialogue = _views[connection]
    dialogue.logged_in = bool(ends.user)
    lines = dialogue.client(data) if client else dialogue.server(data)
    for start in range(0, len(lines), LINES_AT_ONCE):
        _send(name, ends, lines[start : start + LINES_AT_ONCE])


def name(address: object) -> str:
    """A TCP socket's address as people write it; `unix` for that of a unix socket."""
    if not isinstance(address, tuple) or len(address) < 2:
        return "unix"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _send(name: str, ends: Ends, lines: list[Line]) -> None:
    import json

    event = {"id": name, "at": time.time(), "service": _tap.service, "lost": _tap.lost, **ends._asdict()}
    try:
        assert _tap.sender is not None
        _tap.sender.send(json.dumps({**event, "lines": lines}).encode())
    except OSError:  # full, or nobody is there any more
        _tap.lost += 1
    else:
        _tap.lost = 0
