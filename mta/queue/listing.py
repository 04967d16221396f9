"""The queue for people and for programs: mailq(1)'s columns and postqueue -j's JSON (showq(8))."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mta.address import quote_822
from mta.queue.message import QueueName
from mta.queue.store import Queue
from mta.sendmail import maildrop
from mta.sendmail.maildrop import BadDrop


@dataclass(frozen=True, slots=True)
class Listed:
    """One message as it is listed."""

    queue_name: str
    queue_id: str
    arrival: float
    size: int
    sender: str
    recipients: tuple[tuple[str, str], ...]
    """(address, reason of the last delay)"""
    forced_expire: bool = False


def listed(queue: Queue, active: set[str]) -> Iterator[Listed]:
    """Everything in the queue, the maildrop at the end."""
    for message in queue.messages():
        name = "active" if message.queue_id in active and message.queue != QueueName.HOLD else str(message.queue)
        waiting = tuple((r.recipient.address, r.reason) for r in message.recipients if not r.outcome)
        yield Listed(
            name, message.queue_id, message.arrival, message.size, message.sender, waiting, message.forced_expire
        )
    yield from _dropped(queue.directory)


def _dropped(directory: Path) -> Iterator[Listed]:
    for path in maildrop.waiting(directory):
        try:
            dropped = maildrop.read(path)
        except (OSError, BadDrop):
            continue
        drop = dropped.drop
        recipients = tuple((address, "") for address in drop.recipients)
        yield Listed("maildrop", path.name[:10].upper(), dropped.arrival, len(drop.content), drop.sender, recipients)


def columns(messages: Iterable[Listed], long_ids: bool) -> Iterator[str]:
    """Lines as mailq(1) prints them."""
    if long_ids:
        heading = ("----Queue ID-----", "--Size--", "---Arrival Time----", "--Sender/Recipient------")
        width, size_width, date_width = 17, 8, 19
    else:
        heading = ("-Queue ID-", "--Size--", "----Arrival Time----", "-Sender/Recipient-------")
        width, size_width, date_width = 11, 7, 20
    count = total = 0
    for message in messages:
        if count == 0:
            yield f"{heading[0]:<{width}} {heading[1]:>{size_width}} {heading[2]:<{date_width}} {heading[3]}"
        else:
            yield ""
        count, total = count + 1, total + message.size
        mark = {"active": "*", "hold": "!"}.get(message.queue_name, "")
        date = time.asctime(time.localtime(message.arrival))[:date_width]
        label = f"{message.queue_id}{mark}{'#' if message.forced_expire else ''}"
        yield f"{label:<{width}} {message.size:>{size_width}} {date:<{date_width}} {_external(message.sender)}"
        reason = ""
        for address, why in message.recipients:
            if why != reason:
                reason = why
                yield f"({_printable(reason) or 'reason unavailable'})".rjust(78)
            yield f"{'':<{width}} {'':>{size_width}} {'':<{date_width}} {_external(address)}"
    if count == 0:
        yield "Mail queue is empty"
    else:
        yield ""
        yield f"-- {total // 1024} Kbytes in {count} Request{'' if count == 1 else 's'}."


def json_lines(messages: Iterable[Listed]) -> Iterator[str]:
    """One JSON object a line (postqueue(1), JSON OBJECT FORMAT)."""
    for message in messages:
        yield json.dumps(
            {
                "queue_name": message.queue_name,
                "queue_id": message.queue_id,
                "arrival_time": int(message.arrival),
                "message_size": message.size,
                "forced_expire": message.forced_expire,
                "sender": _external(message.sender),
                "recipients": [
                    {"address": _external(address)} | ({"delay_reason": _printable(why)} if why else {})
                    for address, why in message.recipients
                ],
            }
        )


def _external(address: str) -> str:
    return _printable(quote_822(address)) if address else "MAILER-DAEMON"


def _printable(text: str) -> str:
    """With `?` for octets that are not UTF-8: a terminal or a reader of JSON could not take them (postqueue(1))."""
    return text.encode("utf-8", "replace").decode()
