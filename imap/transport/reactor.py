"""Twisted's reactor, on the event loop that there is."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from twisted.internet import asyncioreactor, main


class Reactor(cast(Any, asyncioreactor.AsyncioSelectorReactor)):  # type: ignore[misc]  # Twisted's is not typed
    """Reads without a logging context for each event: nothing here logs by way of Twisted, and it costs more than the
    reading itself."""

    def addReader(self, reader: Any) -> None:
        if reader not in self._readers:
            self._readers[reader] = reader.fileno()
            self._asyncioEventloop.add_reader(reader.fileno(), self._readOrWrite, reader, True)


def install_reactor() -> Any:
    """Twisted's reactor on the asyncio loop that runs now; once per process, after the fork."""
    reactor = Reactor(asyncio.get_running_loop())
    cast(Any, main).installReactor(reactor)
    # The loop is already running and is not Twisted's to stop: only the reactor's own start-up is made up for.
    reactor.startRunning(installSignalHandlers=False)
    return reactor
