"""Probes: messages that go through the queue only to learn what the next server says to their recipient."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable

from mta.message import Rejected, Submission
from mta.message.received import local_received_header
from mta.queue.errors import QueueError
from mta.queue.message import NewMessage, QueuedMessage, Recipient, Trace
from mta.tables import TableError
from mta.verify.cache import Cache, Entry
from mta.verify.protocol import Fate

log = logging.getLogger("postfix.verify")


class Prober:
    """Answers from the cache and sends a probe where that is due."""

    def __init__(
        self,
        cache: Cache,
        cleanup: Callable[[Submission], Awaitable[NewMessage | None]],
        put: Callable[[NewMessage], Awaitable[str]],
        new_id: Callable[[], str],
        sender: Callable[[], str],
        names: tuple[str, str],
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        """`names`: myhostname and mail_name; `limit`: address_verify_pending_request_limit."""
        self.cache = cache
        self._cleanup = cleanup
        self._put = put
        self._new_id = new_id
        self._sender = sender
        self._names = names
        self._limit = limit
        self._clock = clock
        self._pending: set[str] = set()

    async def ask(self, address: str) -> Entry:
        """What is known of an address. Raises TableError."""
        entry, wanted = self.cache.ask(address)
        if wanted and len(self._pending) < self._limit:
            await self._probe(address)
        return entry

    async def _probe(self, address: str) -> None:
        queue_id = self._new_id()
        submission = Submission(
            queue_id=queue_id,
            sender=self._sender(),
            recipients=[Recipient(address, address)],
            content=b"",
            received=local_received_header(*self._names, queue_id, None, self._clock()),
            smtputf8=not address.isascii(),
            attributes={"trace_flags": str(int(Trace.MTA_VERIFY))},
        )
        try:
            message = await self._cleanup(submission)
            if message is None:
                return
            if len(message.recipients) != 1:
                # Such an alias exists; what becomes of each of its members is another question (cleanup(8)).
                self.cache.note(address, Fate.DELIVERABLE, "aliased to multiple recipients")
                return
            self._pending.add(message.queue_id)
            await self._put(message)
        except Rejected as error:
            self.cache.note(address, Fate.of(error.status), error.text)
        except QueueError as error:
            self._pending.discard(queue_id)
            log.warning("%s: probe of <%s> cannot be queued: %s", queue_id, address, error)

    def ended(self, message: QueuedMessage, outcomes: Iterable[tuple[Recipient, str, str]]) -> None:
        """A probe has ended: recipients with enhanced status code and reason."""
        self._pending.discard(message.queue_id)
        try:
            for recipient, status, reason in outcomes:
                # The address that was asked for, and the one that it became.
                for address in dict.fromkeys([recipient.original or recipient.address, recipient.address]):
                    self.cache.note(address, Fate.of(status), reason)
        except TableError as error:
            log.warning("%s: outcome of a probe is lost: %s", message.queue_id, error)
