"""What a session keeps between MAIL and the end of the mail, and how it names itself and its parts."""

import base64
import os
import re
import struct
import time

from imap.lmtp.delivery import Recipient
from imap.lmtp.syntax import Address


class Transaction:
    """From MAIL to the end of the mail."""

    def __init__(self, sender: Address, number: int) -> None:
        self.sender = sender
        self.number = number
        self.recipients: list[Recipient] = []
        self.data = bytearray()
        self.chunks = 0

    def part(self, session: str, position: int) -> str:
        """The session's identifier for one recipient (counted from 1), as log lines and replies show it."""
        transaction = f":T{self.number}" if self.number > 1 else ""
        return session + transaction + (f":R{position}" if position > 1 else "")


def session_id() -> str:
    """An identifier for log lines and replies: time and process, as Dovecot forms its own."""
    now = time.time_ns()
    packed = struct.pack("<QII", now & 0xFFFFFFFFFFFFFFFF, os.getpid() & 0xFFFFFFFF, int.from_bytes(os.urandom(4)))
    return base64.b64encode(packed).decode("ascii").rstrip("=")


def xtext(text: str) -> str:
    """Decode xtext (RFC 3461 section 4); what is none stays as it is."""
    decoded = re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)
    return decoded if decoded.isprintable() else ""
