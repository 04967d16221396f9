"""The headers that a client of ours may leave out: Message-Id, Date, From, To (always_add_missing_headers). Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mta.message.headers import Field, field
from mta.message.received import mail_date

NEEDED = frozenset({b"message-id", b"date", b"from"})
VISIBLE_RECIPIENTS = frozenset({b"to", b"cc", b"resent-to", b"resent-cc"})


@dataclass(frozen=True, slots=True)
class Completion:
    """Parameters: myhostname, enable_long_queue_ids, undisclosed_recipients_header."""

    hostname: str
    long_queue_ids: bool = False
    undisclosed: str = ""


def missing_headers(
    seen: set[bytes], completion: Completion, sender: str, fullname: str, queue_id: str, when: float
) -> list[Field]:
    """The fields to add at the end of the header, in cleanup(8)'s order.

    `seen`: lower case names of the fields that are there; a message with a Resent- field lacks Resent- fields.
    `sender`: external form of the envelope sender; empty for the null sender. `when`: seconds since the epoch.
    """
    resent = "Resent-" if any(name.startswith(b"resent-") for name in seen) else ""
    added: list[Field] = []
    if not resent and seen >= NEEDED and not completion.undisclosed:
        return added
    if f"{resent}message-id".lower().encode() not in seen:
        if completion.long_queue_ids:
            identity = f"<{queue_id}@{completion.hostname}>"
        else:
            identity = f"<{time.strftime('%Y%m%d%H%M%S', time.gmtime(when))}.{queue_id}@{completion.hostname}>"
        added.append(field(f"{resent}Message-Id", identity))
    if f"{resent}date".lower().encode() not in seen:
        added.append(field(f"{resent}Date", mail_date(when)))
    if f"{resent}from".lower().encode() not in seen:
        added.append(field(f"{resent}From", _mailbox(sender or "MAILER-DAEMON", fullname)))
    if completion.undisclosed and not seen & VISIBLE_RECIPIENTS:
        name, _, value = completion.undisclosed.partition(":")
        added.append(field(name.strip(), value.strip()))
    return added


def _mailbox(address: str, fullname: str) -> str:
    """header_from_format = standard: `name <address>`, the name quoted where RFC 5322 section 3.2.3 wants it."""
    if not fullname:
        return address
    if any(character in '"\\()<>[]:;@,.' for character in fullname):
        fullname = '"' + fullname.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{fullname} <{address}>"
