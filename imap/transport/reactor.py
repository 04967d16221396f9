"""Twisted's reactor, on the event loop that there is."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from twisted.internet import asyncioreactor


def install_reactor() -> Any:
    """Twisted's reactor on the asyncio loop that runs now; once per process, after the fork."""
    cast(Any, asyncioreactor).install(asyncio.get_running_loop())
    from twisted.internet import reactor

    # The loop is already running and is not Twisted's to stop: only the reactor's own start-up is made up for.
    cast(Any, reactor).startRunning(installSignalHandlers=False)
    return reactor
