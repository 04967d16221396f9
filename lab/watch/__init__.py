"""`hardmail watch`: the dialogues of a running lab as they happen, told by the services themselves."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError, NotRunning
from lab.watch.page import page
from lab.wire.transcript import shown

DATAGRAM = 1 << 16
HELD_LINES = 500
"""Of a connection that a filter may yet admit, such as one whose user has not logged in."""
KEPT_LINES = 20_000
"""For the page of --html; what comes after is not kept."""
KEPT_CONNECTIONS = 10_000
"""One that is older and has nothing on that page is forgotten; should it speak again it gets a new number."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is shown: everything, unless told otherwise."""

    service: str = ""
    """Part of the service's name, or the protocol."""
    client: str = ""
    """Begin of the client's address."""
    user: str = ""
    port: int | None = None
    """Of the server."""
    grep: re.Pattern[str] | None = None
    """Only lines that it finds."""
    outgoing: bool = False
    """Connections that a service has made, too: within a lab the other end shows the same."""

    def admits(self, seen: Seen) -> bool:
        """Whether a connection is wanted, as far as is known of it."""
        return (
            (self.outgoing or not seen.outgoing)
            and (self.service in seen.service or self.service == seen.protocol)
            and seen.client.startswith(self.client)
            and (not self.user or seen.user == self.user)
            and (self.port is None or seen.server.endswith(f":{self.port}"))
        )


@dataclass(slots=True)
class Said:
    """A line: when (seconds since the epoch), by whom (C or S), and whether under TLS."""

    at: float
    side: str
    text: str
    tls: bool

    def __str__(self) -> str:
        return f"{self.side}{'=' if self.tls else ':'} {self.text}"


@dataclass(slots=True)
class Seen:
    """A connection, as far as it was seen."""

    number: int
    service: str
    protocol: str
    client: str
    server: str
    outgoing: bool
    user: str = ""
    held: list[Said] = field(default_factory=list)
    announced: bool = False
    lines: list[Said] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Who talks to whom."""
        who = f" ({self.user})" if self.user else ""
        client, server = f"{self.client}{who}", f"{self.service} {self.server}"
        if self.outgoing:
            client, server = f"{self.service} {self.client}", self.server
        return f"#{self.number} {self.protocol} {client} -> {server}"


class Watch:
    """Sorts what services tell by connections, and says what passes the filters."""

    def __init__(self, filters: Filters, say: Callable[[str], None]) -> None:
        self._filters = filters
        self._say = say
        self._seen: dict[str, Seen] = {}
        self._kept = self._count = 0
        self.lost = 0
        """Groups of lines that came faster than they were read."""

    def hear(self, event: dict[str, object]) -> None:
        """One datagram."""
        text = {key: shown(str(event[key])) for key in ("service", "protocol", "client", "server", "user")}
        seen = self._seen.get(str(event["id"]))
        if seen is None:
            self._count += 1
            if len(self._seen) >= KEPT_CONNECTIONS:
                self._forget_one()
            ends = text["protocol"], text["client"], text["server"]
            seen = self._seen[str(event["id"])] = Seen(self._count, text["service"], *ends, bool(event["outgoing"]))
        if text["user"] != seen.user:
            seen.user, seen.announced = text["user"], False
        if lost := int(str(event["lost"])):
            self.lost += lost
            self._say(f"... {lost} groups of lines were not seen: they came too fast")
        lines = event["lines"]
        assert isinstance(lines, list)
        for side, line in lines:
            said = Said(float(str(event["at"])), str(side), shown(str(line)), bool(event["tls"]))
            if self._filters.grep is None or self._filters.grep.search(said.text):
                seen.held.append(said)
        self._tell(seen)

    def _forget_one(self) -> None:
        oldest = next((name for name, seen in self._seen.items() if not seen.lines), None)
        if oldest is not None:
            del self._seen[oldest]

    def _tell(self, seen: Seen) -> None:
        if not self._filters.admits(seen):
            del seen.held[:-HELD_LINES]
            return
        if seen.held and not seen.announced:
            seen.announced = True
            self._say(f"\n{seen.title}")
        for said in seen.held:
            self._say(f"#{seen.number} {time.strftime('%H:%M:%S', time.localtime(said.at))} {said}")
        if self._kept < KEPT_LINES:
            self._kept += len(seen.held)
            seen.lines += seen.held
        seen.held.clear()

    def page(self) -> str:
        """What was said, as a page of its own."""
        return page([entry for entry in self._seen.values() if entry.lines], self.lost)


def attach(path: Path) -> tuple[socket.socket, socket.socket]:
    """The supervisor's end, to be kept open while watching, and the one that the lines come from.

    Raises NotRunning, LabError.
    """
    supervisor = socket.socket(socket.AF_UNIX)
    try:
        supervisor.connect(str(path))
        word, descriptors, _, _ = socket.recv_fds(supervisor, 16, 1)
    except OSError as error:
        supervisor.close()
        raise NotRunning(f"{path}: {error.strerror}") from None
    if word != b"watch" or not descriptors:
        supervisor.close()
        why = "somebody watches already" if word == b"taken" else "only the user who runs the lab may watch, and root"
        raise LabError(why)
    return supervisor, socket.socket(fileno=descriptors[0])


def events(lines: socket.socket, supervisor: socket.socket, seconds: float | None) -> Iterator[dict[str, object]]:
    """What is told until the lab ends, the time is up, or Ctrl-C or SIGTERM come."""
    import selectors

    wake, woken = socket.socketpair()
    wake.setblocking(False)
    old = {number: signal.signal(number, lambda *_: wake.send(b"x")) for number in (signal.SIGINT, signal.SIGTERM)}
    ends = None if seconds is None else time.monotonic() + seconds
    try:
        with selectors.DefaultSelector() as selector, wake, woken:
            for sock in (lines, supervisor, woken):
                selector.register(sock, selectors.EVENT_READ)
            while ends is None or time.monotonic() < ends:
                ready = selector.select(None if ends is None else max(0.0, ends - time.monotonic()))
                sources = {key.fileobj for key, _ in ready}
                if lines in sources:
                    yield json.loads(lines.recv(DATAGRAM))
                elif sources:
                    return
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
