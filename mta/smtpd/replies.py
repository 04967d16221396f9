"""SMTP replies: a code, an enhanced status code (RFC 2034, RFC 3463) and a text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

HANGUP_CODES: Final = frozenset({421, 521})
"""After these replies the server closes the connection (smtpd(8), access(5))."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `text` may hold several lines, separated by a line feed (RFC 5321 section 4.2.1)."""

    code: int
    status: str
    """Enhanced status code, empty where Postfix sends none (greeting, HELO, EHLO, 354)."""
    text: str

    @property
    def is_error(self) -> bool:
        return self.code >= 400

    @property
    def hangs_up(self) -> bool:
        return self.code in HANGUP_CODES

    def __str__(self) -> str:
        """The reply on one line, as it stands in the log."""
        words = f"{self.code} {self.status} {self.text}" if self.status else f"{self.code} {self.text}"
        return words.replace("\n", " ")

    def wire(self) -> bytes:
        """The reply as it is sent; what is not ASCII is sent as UTF-8, or as the bytes that the client used."""
        return _wire(self.code, self.status, self.text)


@lru_cache(maxsize=256)
def _wire(code: int, status: str, text: str) -> bytes:
    """Most replies are constants."""
    status = f"{status} " if status else ""
    *first, last = text.split("\n")
    lines = [*(f"{code}-{status}{part}\r\n" for part in first), f"{code} {status}{last}\r\n"]
    return "".join(lines).encode("utf-8", "surrogateescape")


class Refused(Exception):
    """Raised where a command cannot go on; carries the reply that the client gets and nothing else."""

    def __init__(self, code: int, status: str, text: str) -> None:
        super().__init__(code, status, text)
        self.reply = Reply(code, status, text)


OK: Final = Reply(250, "2.0.0", "Ok")
SENDER_OK: Final = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Ok")
GO_AHEAD: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
BYE: Final = Reply(221, "2.0.0", "Bye")
BAD_SYNTAX: Final = Reply(500, "5.5.2", "Error: bad syntax")
BAD_UTF8: Final = Reply(500, "5.5.2", "Error: bad UTF-8 syntax")
NOT_RECOGNIZED: Final = Reply(500, "5.5.2", "Error: command not recognized")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Error: command not implemented")
NEED_HELO: Final = Reply(503, "5.5.1", "Error: send HELO/EHLO first")
NEED_TLS: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
BREAKS_RULES: Final = Reply(221, "2.7.0", "Error: I can break rules, too. Goodbye.")
OUT_OF_STEP: Final = Reply(554, "5.5.0", "Error: SMTP protocol synchronization")
SERVER_CONFIGURATION: Final = Reply(451, "4.3.5", "Server configuration error")
INTERNAL_ERROR: Final = Reply(421, "4.3.0", "Error: internal error")
