"""Services that nobody has needed yet: each starts when the first client knocks, as master(8) starts its own."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable

from lab.supervisor.listeners import Sockets
from lab.supervisor.service import Service
from lab.supervisor.workers import Workers


class Dormant:
    """Watches the listeners of `on_demand` services until somebody connects."""

    def __init__(self, sockets: Sockets, workers: Workers) -> None:
        self._sockets = sockets
        self._workers = workers
        self._waiting: list[tuple[Service, list[socket.socket]]] = []

    def watch(self, services: Iterable[Service]) -> None:
        """Wait for a first client of these."""
        for service in services:
            sockets = [self._sockets[listener] for listener in service.listeners]
            self._waiting.append((service, sockets))
            for sock in sockets:
                self._workers.listen_to(sock)

    def forget_all(self) -> None:
        """Before the listeners of an older configuration are closed."""
        for _, sockets in self._waiting:
            self._ignore(sockets)
        self._waiting.clear()

    def wanted(self) -> list[Service]:
        """Those that somebody has connected to; they are watched no longer."""
        found, waiting = [], []
        for service, sockets in self._waiting:
            if sockets and select.select(sockets, [], [], 0)[0]:
                found.append(service)
                self._ignore(sockets)
            else:
                waiting.append((service, sockets))
        self._waiting = waiting
        return found

    def _ignore(self, sockets: Iterable[socket.socket]) -> None:
        for sock in sockets:
            self._workers.ignore(sock)
