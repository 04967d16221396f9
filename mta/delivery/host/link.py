"""From the queue manager to the process that delivers on this host: one request and its reports over a unix socket.

A request says who is to have which message, never what is to be run or as whom: that the other side reads in its own
configuration, so that whoever breaks into the queue manager has not broken into root's delivery.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mta.delivery.host.report import Report, from_wire, to_wire
from mta.delivery.request import Request
from mta.delivery.result import Times
from mta.queue.message import Notify, QueuedMessage, QueuedRecipient, QueueName, Recipient

HEAD: Final = struct.Struct(">II")
"""Octets of envelope and of content; of a reply: octets, and nothing."""
MAX_ENVELOPE: Final = 16 << 20
MAX_CONTENT: Final = 1 << 30


class Remote:
    """A Deliverer behind a socket. Raises OSError and EOFError where nobody answers."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def reports(self, request: Request) -> list[Report]:
        """See Deliverer."""
        octets = encode(request)
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            writer.write(octets)
            await writer.drain()
            size, _ = HEAD.unpack(await reader.readexactly(HEAD.size))
            told = json.loads(await reader.readexactly(min(size, MAX_ENVELOPE)))
        finally:
            writer.close()
        return [from_wire(report) for report in told]


def encode(request: Request) -> bytes:
    """A request for the wire. Raises QueueError if the content cannot be read."""
    content = request.read_content()
    envelope = {
        "message": dataclasses.asdict(dataclasses.replace(request.message, recipients=[])),
        "recipients": [dataclasses.asdict(recipient) for recipient in request.recipients],
        "nexthop": request.nexthop,
    }
    octets = json.dumps(envelope, default=dict).encode()
    return HEAD.pack(len(octets), len(content)) + octets + content


async def receive(reader: asyncio.StreamReader) -> Request:
    """The next request. Raises asyncio.IncompleteReadError, ValueError."""
    size, length = HEAD.unpack(await reader.readexactly(HEAD.size))
    if size > MAX_ENVELOPE or length > MAX_CONTENT:
        raise ValueError("request is too large")
    told = json.loads(await reader.readexactly(size))
    content = await reader.readexactly(length)
    message = QueuedMessage(**{**told["message"], "queue": QueueName(told["message"]["queue"])})
    message.recipients = [_recipient(recipient) for recipient in told["recipients"]]
    return Request(message, message.recipients, lambda: content, told["nexthop"], Times(message.arrival))


def _recipient(told: Mapping[str, Any]) -> QueuedRecipient:
    recipient = Recipient(**{**told["recipient"], "notify": Notify(told["recipient"]["notify"])})
    return QueuedRecipient(**{**told, "recipient": recipient})


def reply(reports: list[Report]) -> bytes:
    """The answer to a request."""
    octets = json.dumps([to_wire(report) for report in reports]).encode()
    return HEAD.pack(len(octets), 0) + octets
