"""Names of mailboxes and messages that outlive renaming and copying (OBJECTID, RFC 8474)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imap.store import Message


def email_id(message: Message) -> bytes:
    """The EMAILID: the same for a message and its copies. A guid of the store may have any octets, an objectid not."""
    return b"M" + hashlib.blake2b(message.guid.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest().encode()
