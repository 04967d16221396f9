"""The end of a message's stay in the active queue: removed, returned to its sender, warned about or deferred."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mta.address import quote_822
from mta.delivery.bounce.notices import NoticeError, Notices
from mta.queue.active import Active
from mta.queue.changes import Change, Defer, Forget
from mta.queue.errors import QueueError
from mta.queue.message import NewMessage, QueuedMessage, Recipient, Trace
from mta.queue.settings import ManagerSettings
from mta.queue.store import Queue

logger = logging.getLogger("postfix.qmgr")


@dataclass(slots=True)
class Completion:
    """Decides and makes the changes; all notices of a message and its own fate are one transaction."""

    queue: Queue
    notices: Notices
    settings: ManagerSettings
    clock: Callable[[], float]
    verified: Callable[[QueuedMessage, Sequence[tuple[Recipient, str, str]]], None] = lambda *_: None
    """Hears what a probe found out: recipients with enhanced status code and reason."""

    async def changes(self, active: Active) -> list[Change]:
        """What is to be written now that every delivery of the message has ended."""
        try:
            return await self._changes(active)
        except (NoticeError, QueueError) as error:
            # What the sender must be told cannot be told now: the message stays until it can.
            logger.warning("%s: notification cannot be made: %s", active.message.queue_id, error)
            return [self._defer(active, warned=False)]

    async def _changes(self, active: Active) -> list[Change]:
        if active.message.is_probe:
            return await self._probe_changes(active)
        message, now = active.message, self.clock()
        expired_now, warned = self._expired(active, now), False
        needed = active.told or active.recorded or expired_now or self._warns(active, now)
        content = self._content(active) if needed else None
        made: list[NewMessage] = []
        if active.failed:
            made += await self.notices.failure(message, active.notices(active.failed), content)
        if active.succeeded:
            entries = active.notices(active.succeeded)
            made += await self.notices.success(message, entries, content, delay_cleared=active.confirms)
        if expired_now:
            sender = quote_822(message.sender) if message.sender else ""
            word = "force-expired" if message.forced_expire else "expired"
            logger.info("%s: from=<%s>, status=%s, returned to sender", message.queue_id, sender, word)
            expired = {position: replace(outcome, action="failed") for position, outcome in active.waiting.items()}
            made += await self.notices.failure(message, active.notices(expired), content)
        elif self._warns(active, now):
            made += await self.notices.delay(message, active.notices(active.waiting), content)
            warned = True
        if active.recorded:
            made += await self.notices.verification(message, active.recorded, content)
        puts: list[Change] = [self.queue.new(notice) for notice in made]
        if active.waiting and not expired_now:
            told = [Forget(message.sequence, active.told)] if active.told else []
            return [*puts, *told, self._defer(active, warned=warned)]
        logger.info("%s: removed", message.queue_id)
        return [*puts, self.queue.remove(message)]

    async def _probe_changes(self, active: Active) -> list[Change]:
        """A probe has one attempt; whoever asked is told."""
        message, entries = active.message, active.notices(active.told)
        made: list[NewMessage] = []
        if message.trace & Trace.USER_VERIFY:
            made += await self.notices.verification(message, entries, self._content(active))
        else:
            self.verified(message, [(each.recipient, each.outcome.dsn, each.outcome.reason) for each in entries])
        logger.info("%s: removed", message.queue_id)
        return [*map(self.queue.new, made), self.queue.remove(message)]

    def _expired(self, active: Active, now: float) -> bool:
        message = active.message
        lifetime = self.settings.lifetime(message.sender)
        # In whole seconds: with a lifetime of 0 the first attempt is the last (maximal_queue_lifetime).
        over = message.forced_expire or int(now) >= int(message.arrival) + lifetime
        return bool(active.waiting) and over

    def _warns(self, active: Active, now: float) -> bool:
        message, after = active.message, self.settings.delay_warning
        if not message.sender or message.warned or after <= 0:
            return False  # nobody is told that a bounce is late (cleanup_envelope)
        # Within a second, as the warning time of a queue file is (qmgr_active_done).
        return bool(active.waiting) and now >= message.arrival + after - 1

    def _defer(self, active: Active, *, warned: bool) -> Defer:
        now = self.clock()
        # In whole seconds, as the time stamp of a queue file: the queue run that is due in the same second finds it.
        at = math.floor(now + self.settings.backoff(now - active.message.arrival))
        return Defer(active.message.sequence, at, warned=warned)

    def _content(self, active: Active) -> bytes | None:
        if active.content is not None:
            return active.content
        try:
            return self.queue.content(active.message)
        except QueueError as error:
            logger.warning("%s: original message is unavailable: %s", active.message.queue_id, error)
            return None
