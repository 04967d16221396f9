"""Puts forwarded mail back into the queue, as a message of its own (local(8) MAIL FORWARDING)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mta.delivery.host.report import Forward
from mta.message import Submission
from mta.message.received import local_received_header
from mta.queue.message import NewMessage, QueuedMessage


@dataclass(slots=True)
class Forwarder:
    """`new_id` and `put` are the queue's; they are set when it is open."""

    cleanup: Callable[[Submission], Awaitable[NewMessage | None]]
    """Without content checks and copies: the message has passed them once."""
    myhostname: str
    mail_name: str
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = field(default=lambda: "")
    put: Callable[[NewMessage], Awaitable[str]] | None = None

    async def forward(self, message: QueuedMessage, content: bytes, wanted: Forward) -> str:
        """The queue id of the new message, once it is durable. Raises Rejected, QueueError, TableError."""
        assert self.put is not None
        queue_id = self.new_id()
        head = local_received_header(self.myhostname, self.mail_name, queue_id, None, self.clock())
        delivered = f"Delivered-To: {wanted.delivered.casefold()}\r\n" if wanted.delivered else ""
        forwarded = await self.cleanup(
            Submission(
                queue_id=queue_id,
                sender=wanted.sender,
                recipients=wanted.recipients,
                content=delivered.encode("utf-8", "surrogateescape") + content,
                received=head,
                local=message.attributes.get("rewrite_context", "local") == "local",
                ret=wanted.ret,
                envid=wanted.envid,
                body=message.body,
                smtputf8=message.smtputf8,
                attributes=message.attributes,
            )
        )
        if forwarded is not None:
            await self.put(forwarded)
        return queue_id
