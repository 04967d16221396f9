"""Sets a damaged message aside: into corrupt/, readable by a person, and out of the way of the others."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Final

from mta.queue import layout
from mta.queue.errors import QueueError
from mta.queue.message import QueuedMessage
from mta.queue.store import Queue

logger = logging.getLogger("postfix.qmgr")

SEPARATOR: Final = b"\n"


def set_aside(queue: Queue, message: QueuedMessage, fault: str) -> Path:
    """Write what is left of a message to corrupt/QUEUE_ID: its envelope as one line of JSON, then its content."""
    corrupt = queue.directory / layout.CORRUPT
    envelope = {
        "queue_id": message.queue_id,
        "fault": fault,
        "sender": message.sender,
        "recipients": [recipient.recipient.address for recipient in message.recipients],
        "arrival": message.arrival,
        "set_aside": time.time(),
    }
    path = corrupt / message.queue_id
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, layout.FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(envelope).encode() + SEPARATOR + queue.raw_content(message))
            file.flush()
            os.fsync(fd)
        temporary.rename(path)
        layout.sync_directory(corrupt)
    except OSError as error:
        raise QueueError(f"{path}: {error}") from error
    logger.error("%s: %s -- message moved to corrupt queue: %s", message.queue_id, fault, path)
    return path
