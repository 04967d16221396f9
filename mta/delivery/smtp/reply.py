"""Replies of a server: their enhanced status codes, and how they are quoted in logs and reports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mta.delivery.result import Dsn

_DSN: Final = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
MAX_TEXT: Final = 2000
"""Characters of a reply that a report quotes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, all of its lines."""

    code: int
    lines: tuple[str, ...]
    """Text of each line, without code and separator."""

    @property
    def ok(self) -> bool:
        return 200 <= self.code <= 299

    @property
    def text(self) -> str:
        """In one line, each part with its code, as Postfix quotes it."""
        last = len(self.lines) - 1
        parts = [f"{self.code}{' ' if i == last else '-'}{line}".rstrip() for i, line in enumerate(self.lines)]
        return printable(" ".join(parts))[:MAX_TEXT]

    @property
    def status(self) -> str:
        """That of the last line; made from the reply code if there is none or it contradicts (RFC 3463)."""
        match = _DSN.match(self.lines[-1]) if self.lines else None
        if match and int(match[1]) == self.code // 100:
            return match[0]
        return f"{self.code // 100}.0.0" if 200 <= self.code <= 599 else "5.5.0"

    def dsn(self, host: str, reason: str) -> Dsn:
        """What to report when this reply is the cause. A reply that is no failure where one was expected is one."""
        status = self.status
        if status[0] not in "45":
            reason, status = f"Protocol error: {reason}", "5.5.0"
        return Dsn(status, reason, "dns", host, "smtp", self.text)


def printable(text: str) -> str:
    """Control characters and stray octets become `?`; nothing a server says may forge a log line."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() and not "\udc80" <= char <= "\udcff" else "?" for char in text)
