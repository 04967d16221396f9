"""A thread that waits for the disk, so that the event loop need not."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable

Work = Callable[[], None]
Then = Callable[[Exception | None], None]


class Disk:
    """Does one piece of work after the other; the thread starts with the first."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, work: Work, then: Then) -> None:
        """`then` is called in the event loop, with what `work` raised."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                work()
                error = None
            except Exception as caught:
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(then, error)

        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="queue disk", daemon=True)
            self._thread.start()
        self._work.put(run)

    def close(self) -> None:
        """Wait for the end of what was begun."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
