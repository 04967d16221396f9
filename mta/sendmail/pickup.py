"""pickup(8): takes drops out of the maildrop, through cleanup, into the queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.delivery.bounce.notices import NoticeError, Notices
from mta.delivery.bounce.report import Entry
from mta.message import Rejected, Submission
from mta.message.received import local_received_header
from mta.queue.changes import Outcome
from mta.queue.errors import QueueError, QueueRefused
from mta.queue.message import NewMessage, Notify, QueuedMessage, QueueName, Recipient
from mta.queue.schema import set_aside
from mta.queue.store import Queue
from mta.sendmail import maildrop
from mta.sendmail.maildrop import BadDrop, Dropped

logger = logging.getLogger("postfix.pickup")

PORTION: Final = 100
"""Drops in one go, so that a full maildrop does not keep the queue manager from its other work."""


@dataclass(frozen=True, slots=True)
class PickupSettings:
    """Parameters of main.cf."""

    myhostname: str
    mail_name: str
    message_size_limit: int


class Pickup:
    """Empties the maildrop. `scan` is called when there may be something."""

    def __init__(
        self,
        queue: Queue,
        cleanup: Callable[[Submission], Awaitable[NewMessage | None]],
        notices: Notices,
        settings: PickupSettings,
        rewrite: Callable[[str], str] = lambda address: address,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._cleanup = cleanup
        self._notices = notices
        self._settings = settings
        self._rewrite = rewrite
        self._clock = clock

    async def scan(self) -> bool:
        """Queue what lies in the maildrop; True if there may be more."""
        count = 0
        try:
            for path in maildrop.waiting(self._queue.directory):
                if count == PORTION:
                    return True
                try:
                    await self._take(path)
                except OSError as error:
                    # One file that cannot be read must not keep the others waiting.
                    logger.error("%s: %s", path, error)
                else:
                    count += 1
        except (OSError, QueueError) as error:
            logger.error("maildrop: %s", error)
        return False

    async def _take(self, path: Path) -> None:
        try:
            dropped = maildrop.read(path)
        except FileNotFoundError:
            return
        except BadDrop as fault:
            set_aside(self._queue.directory, path, str(fault))
            return
        try:
            await self._queue_drop(dropped)
        except (QueueRefused, ValueError) as fault:
            # It would fail the same way for ever, and keep the others waiting.
            set_aside(self._queue.directory, path, f"cannot be queued: {fault}")
            return
        # In this order a crash repeats the mail, in the other it would lose it.
        path.unlink(missing_ok=True)

    async def _queue_drop(self, dropped: Dropped) -> None:
        drop, settings = dropped.drop, self._settings
        queue_id = self._queue.new_id()
        logger.info("%s: uid=%d from=<%s>", queue_id, dropped.uid, drop.sender)
        content = to_crlf(drop.content)
        received = local_received_header(
            settings.myhostname, settings.mail_name, queue_id, dropped.uid, dropped.arrival
        )
        submission = Submission(
            queue_id=queue_id,
            sender=drop.sender,
            recipients=[self._recipient(address, drop) for address in drop.recipients],
            content=content,
            received=received,
            ret=drop.ret,
            envid=drop.envid,
            body=drop.body,
            smtputf8=drop.smtputf8,
            fullname=drop.fullname,
            attributes={"trace_flags": str(drop.trace)} if drop.trace else {},
        )
        try:
            if settings.message_size_limit and len(content) > settings.message_size_limit:
                raise Rejected(552, "5.3.4", "message size exceeds size limit")
            message = await self._cleanup(submission)
        except Rejected as error:
            if error.code // 100 == 4:
                raise QueueError(f"{queue_id}: {error}") from error
            await self._bounce(queue_id, drop, content, error)
            return
        if message is not None:
            await self._queue.put(message)

    def _recipient(self, address: str, drop: maildrop.Drop) -> Recipient:
        """Nobody named an original recipient: it is the address as completed (cleanup_addr_recipient)."""
        complete = self._rewrite(address)
        kind = "utf-8" if drop.smtputf8 and not complete.isascii() else "rfc822"
        return Recipient(address, address, f"{kind};{complete}", Notify(drop.notify))

    async def _bounce(self, queue_id: str, drop: maildrop.Drop, content: bytes, error: Rejected) -> None:
        """There is no client to refuse: the sender gets a report instead (cleanup(8) CLEANUP_FLAG_BOUNCE)."""
        now = self._clock()
        original = QueuedMessage(
            sequence=0,
            queue_id=queue_id,
            queue=QueueName.INCOMING,
            sender=drop.sender,
            arrival=now,
            size=len(content),
            next_attempt=now,
            warned=False,
            ret=drop.ret,
            envid=drop.envid,
            body=drop.body,
            smtputf8=drop.smtputf8,
            filter="",
            attributes={},
            recipients=[],
            recipient_count=len(drop.recipients),
        )
        outcome = Outcome(error.status, error.text, "failed")
        entries = [Entry(self._recipient(address, drop), outcome) for address in drop.recipients]
        for entry in entries:
            logger.info("%s: to=<%s>, relay=none, status=bounced (%s)", queue_id, entry.recipient.address, error.text)
        try:
            for notice in await self._notices.failure(original, entries, content):
                await self._queue.put(notice)
        except NoticeError as problem:
            raise QueueError(f"{queue_id}: {problem}") from problem


def to_crlf(content: bytes) -> bytes:
    """Line ends as the wire wants them; the last line is ended. Lone carriage returns stay: cleanup knows them."""
    text = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return text if not text or text.endswith(b"\r\n") else text + b"\r\n"
