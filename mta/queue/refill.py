"""Recipients in memory: few at a time of a large message, more when there is room (qmgr_message_recipient_limit)."""

from __future__ import annotations

from collections.abc import Callable

from mta.queue.active import Active
from mta.queue.message import QueuedRecipient
from mta.queue.settings import ManagerSettings, TransportSettings
from mta.queue.store import Queue


class Refill:
    """Counts the recipients that wait for their delivery, of all active messages."""

    def __init__(self, queue: Queue, settings: ManagerSettings, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self.held = 0

    def hold(self, active: Active, count: int) -> None:
        """So many more of them are in memory, or fewer."""
        active.held += count
        self.held += count

    def wanted(self, active: Active, transport: TransportSettings) -> bool:
        """Whether to read before all is done: else one slow destination would hold up the rest of the message."""
        room, waited = self._settings.recipient_limit - self.held, self._clock() - active.refilled
        return active.message.unread > 0 and (
            room >= transport.refill_limit or (room > 0 and waited >= transport.refill_delay)
        )

    def read(self, active: Active) -> list[QueuedRecipient]:
        """The next of the message's unread recipients that are to be delivered. Raises QueueError."""
        message, settings = active.message, self._settings
        message.recipients = [each for each in message.recipients if each.position not in active.done]
        room = max(settings.recipient_minimum, settings.recipient_limit - self.held)
        fresh = active.take(self._queue.read_recipients(message, room))
        self.hold(active, len(fresh))
        active.fault = active.fault or message.fault
        active.refilled = self._clock()
        return fresh
