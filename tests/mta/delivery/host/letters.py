"""A message as the queue manager hands it to an agent, and who the recipients really are."""

from __future__ import annotations

import os

from mta.delivery.host.rights import Rights
from mta.delivery.request import Request
from mta.delivery.result import Times
from mta.queue.message import QueuedMessage, QueuedRecipient, QueueName, Recipient, Trace

LETTER = b"Subject: hello\r\n\r\nFrom me\r\n.dot\r\n"
NOBODY = 65534
ME = Rights(os.geteuid() or NOBODY, os.getegid() if os.geteuid() else NOBODY)
"""Who the users of these tests really are: never root, who delivers with default_privs."""


def request(
    *recipients: str | Recipient, sender: str = "sender@client.example", content: bytes = LETTER, probe: bool = False
) -> Request:
    """A message as the queue manager hands it over; `probe`: one that must not be delivered."""
    entries = [
        QueuedRecipient(number, recipient if isinstance(recipient, Recipient) else Recipient(recipient, recipient))
        for number, recipient in enumerate(recipients)
    ]
    message = QueuedMessage(
        sequence=1,
        queue_id="1A2B3C",
        queue=QueueName.INCOMING,
        sender=sender,
        arrival=1_800_000_000.0,
        size=len(content),
        next_attempt=0.0,
        warned=False,
        ret="FULL",
        envid="E1",
        body="",
        smtputf8=False,
        filter="",
        attributes={"client_name": "client.example", "client_address": "192.0.2.1"}
        | ({"trace_flags": str(int(Trace.MTA_VERIFY))} if probe else {}),
        recipients=entries,
        recipient_count=len(entries),
    )
    return Request(message, entries, lambda: content, "example.com", Times(message.arrival))
