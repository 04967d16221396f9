"""The message as it crosses the wire: dots doubled, lines not too long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mta.address import quote_822
from mta.queue.message import QueuedRecipient

_DOT: Final = re.compile(rb"(?m)^\.")


def dot_stuffed(content: bytes) -> bytes:
    """Double the dot at the start of a line (RFC 5321 section 4.5.2) and add the final dot."""
    if content.startswith(b".") or b"\n." in content:
        content = _DOT.sub(b"..", content)
    end = b".\r\n" if not content or content.endswith(b"\r\n") else b"\r\n.\r\n"
    return content + end


def folded(content: bytes, limit: int) -> bytes:
    """Break lines longer than `limit` octets with CRLF SPACE (smtp_line_length_limit; 0 is no limit)."""
    if limit <= 0 or not _has_longer_line(content, limit):
        return content
    return b"\r\n".join(_fold(line, limit) for line in content.split(b"\r\n"))


def _has_longer_line(content: bytes, limit: int) -> bool:
    """Goes from line end to line end in the longest steps that are allowed, and looks at nothing between them."""
    position, longest = 0, limit + len(b"\r\n")
    while len(content) - position > limit:
        end = content.rfind(b"\r\n", position, position + longest)
        if end < 0:
            return True
        position = end + len(b"\r\n")
    return False


def prepended(flags: frozenset[str], sender: str, recipients: Sequence[QueuedRecipient]) -> bytes:
    """Headers for a final delivery, in the order of mail_copy(3); those that name a recipient need him to be alone."""
    lines = [f"Return-Path: <{quote_822(sender) if sender else ''}>"] if "R" in flags else []
    if len(recipients) == 1:
        recipient = recipients[0].recipient
        lines += [f"X-Original-To: {quote_822(recipient.original)}"] if "O" in flags else []
        lines += [f"Delivered-To: {quote_822(recipient.address)}"] if "D" in flags else []
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _fold(line: bytes, limit: int) -> bytes:
    if len(line) <= limit:
        return line
    return b"\r\n ".join(line[start : start + limit] for start in range(0, len(line), limit))
