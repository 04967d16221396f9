"""What a client submitted, and the refusal that cleanup may answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mta.queue import Recipient


class Rejected(Exception):
    """The content is refused; the reply is for the client, `str(error)` too."""

    def __init__(self, code: int, status: str, text: str) -> None:
        super().__init__(f"{code} {status} {text}")
        self.code = code
        self.status = status
        self.text = text


@dataclass(slots=True)
class Submission:
    """A message as it was taken from a client, from the maildrop or from a bounce writer."""

    queue_id: str
    sender: str
    """Internal form; empty for the null reverse-path."""
    recipients: Sequence[Recipient]
    content: bytes
    """CRLF line ends, not dot-stuffed, the last line ended (or empty)."""
    received: bytes = b""
    """The trace header of this hop, folded, CRLF ended."""
    prepend: Sequence[str] = ()
    """Headers of access(5) PREPEND, in order."""
    local: bool = True
    """Whether headers are completed and rewritten: the client is one of ours (local_header_rewrite_clients)."""
    bcc: Sequence[str] = ()
    hold: bool = False
    filter: str = ""
    redirect: str = ""
    ret: str = ""
    envid: str = ""
    body: str = ""
    smtputf8: bool = False
    fullname: str = ""
    """The sender's name for a From: header that has to be made (sendmail -F)."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    """`name[address]` for the log."""
