"""What became of active messages, written to the disk: until that is done, they are not let go."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final

from mta.queue.active import Active
from mta.queue.changes import Change
from mta.queue.completion import Completion
from mta.queue.corrupt import set_aside
from mta.queue.errors import QueueDamaged, QueueError, QueueRefused
from mta.queue.store import Queue

logger = logging.getLogger("postfix.qmgr")

WRITE_RETRY: Final = (0.2, 1.0, 5.0, 10.0)
"""Seconds between attempts to write a result; the message stays active meanwhile, so it is not sent again."""


class Outcomes:
    """Everything is to be called in the event loop's thread."""

    def __init__(self, queue: Queue, completion: Completion) -> None:
        self._queue = queue
        self._completion = completion
        self._unwritten: set[str] = set()
        """Messages whose outcome the disk did not take yet."""
        self.on_damage: Callable[[str], None] = lambda fault: None
        """Called when the database turns out to be torn, with what is wrong."""
        self.on_written: Callable[[], None] = lambda: None
        """Called when the disk has taken what it had refused."""

    @property
    def stuck(self) -> bool:
        """Whether the disk takes no outcome now: what cannot be noted down would be delivered again after a crash."""
        return bool(self._unwritten)

    async def complete(self, active: Active) -> None:
        """Every delivery of the message has ended: write what became of it."""
        if active.fault:
            changes = self._corrupt(active)
        else:
            changes = await self._completion.changes(active)
            if active.waiting:
                changes = [active.progress(active.unwritten), *changes]
        active.content = None
        await self.write(changes, active.message.queue_id)

    def note(self, active: Active, positions: set[int]) -> None:
        """A delivery to these recipients has ended and others go on: the disk hears of it some time soon."""
        self._queue.submit(active.progress(positions), functools.partial(_note_failure, active, positions))

    async def write(self, changes: Sequence[Change], queue_id: str) -> None:
        """Returns when they are on the disk, however long that takes."""
        pauses = itertools.chain(WRITE_RETRY, itertools.repeat(WRITE_RETRY[-1]))
        while True:
            try:
                await self._queue.change(*changes)
                break
            except QueueDamaged as error:
                self.on_damage(str(error))
            except QueueError as error:
                logger.error("%s: cannot write the outcome: %s", queue_id, error)
                if not isinstance(error, QueueRefused):
                    self._unwritten.add(queue_id)
            await asyncio.sleep(next(pauses))
        if queue_id in self._unwritten:
            self._unwritten.discard(queue_id)
            self.on_written()

    def _corrupt(self, active: Active) -> list[Change]:
        message = active.message
        if not self._queue.exists(message):
            return []  # removed by postsuper(1) meanwhile
        # With all of its recipients, also those that were not read yet.
        set_aside(self._queue, self._queue.find(message.queue_id) or message, active.fault)
        return [self._queue.remove(message)]


def _note_failure(active: Active, positions: set[int], error: BaseException | None) -> None:
    """What was delivered and could not be noted down is noted with the rest; only a crash before that repeats it."""
    if error is not None:
        active.unwritten |= positions
        logger.error("cannot write the progress of a delivery: %s", error)
