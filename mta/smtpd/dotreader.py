"""The content of DATA: where a message ends and what it says. Sans-I/O; one message stays one message.

RFC 5321 section 4.1.1.4 ends the content with <CR><LF>.<CR><LF> and section 2.3.8 knows no other line end. What else
may end a line or the content is the site's decision, smtpd_forbid_bare_newline in postconf(5); a receiver that is
more tolerant than the relay before it can be made to see two messages where the relay saw one (SMTP smuggling).

    reader = DotReader(Newlines.NORMALIZE, limit=message_size_limit)
    rest = reader.feed(octets)      # None: more is needed; else the octets that follow the end of the content
    reader.content                  # CRLF line ends, dots unstuffed, the last line ended
"""

from __future__ import annotations

import enum
import re
from typing import Final

_LINE_END: Final = re.compile(rb"\r*\n")
_BARE_NEWLINE: Final = re.compile(rb"(?<!\r)\n")
_LONE_DOT: Final = re.compile(rb"(?m)^\.\r?\n")

TAIL: Final = 2
"""Octets kept of content that is too large: enough to know how its last line ended."""


class Newlines(enum.Enum):
    """smtpd_forbid_bare_newline."""

    ANY = "no"
    """A line feed ends a line, whatever stands before it; a line that is a dot ends the content."""
    NORMALIZE = "normalize"
    """A line feed ends a line, but only <CR><LF>.<CR><LF> ends the content."""
    REJECT = "reject"
    """As NORMALIZE; the caller refuses content with `bare_newline` set."""

    @classmethod
    def parse(cls, value: str) -> Newlines:
        """The value in main.cf, where `yes` is an old name of `normalize`; ValueError for anything else."""
        word = value.lower()
        return cls.NORMALIZE if word == "yes" else cls(word)


class DotReader:
    """Collects the content of one DATA command."""

    def __init__(self, newlines: Newlines, limit: int = 0) -> None:
        """`limit` in octets of content, 0 for none: what is longer is read to its end but not kept."""
        self._strict = newlines is not Newlines.ANY
        self._limit = limit
        self._raw = bytearray()
        self._last_newline = -1
        self.content = b""
        self.too_large = False
        self.bare_newline = False
        """Whether a line ended in a line feed alone (only watched where the policy asks for it)."""

    def feed(self, octets: bytes) -> bytes | None:
        """Takes what the client sent; gives what follows the end of the content, None before the end."""
        raw = self._raw
        raw += octets
        if b"\n" in octets:
            end = self._find_end()
            if end is not None:
                dot, after = end
                rest = bytes(raw[after:])
                del raw[dot:]
                self._finish()
                return rest
            self._last_newline = raw.rfind(b"\n")
        if self._limit and len(raw) > self._limit + self._slack():
            self._overflow()
        return None

    def _find_end(self) -> tuple[int, int] | None:
        """Where the line that ends the content begins, and where it ends. Every line is looked at once."""
        raw = self._raw
        if self._last_newline < 0:
            start = 0
            if not raw.startswith(b"."):
                start = raw.find(b"\n.") + 1
                if not start:
                    return None
        else:
            start = raw.find(b"\n.", self._last_newline) + 1
        while start or raw.startswith(b"."):
            if self._strict:
                if raw.startswith(b"\r\n", start + 1) and (start == 0 or raw.startswith(b"\r\n", start - 2)):
                    return start, start + 3
            elif match := _LINE_END.match(raw, start + 1):
                return start, match.end()
            start = raw.find(b"\n.", start) + 1
            if not start:
                return None
        return None

    def _slack(self) -> int:
        """The limit counts what is kept; stuffed dots and the end are not. They cannot double a line's length."""
        return self._limit + 1024

    def _overflow(self) -> None:
        """Keep reading, keep nothing but the line that has begun (its first octets decide whether it is the end)."""
        self.too_large = True
        raw = self._raw
        start = max(raw.rfind(b"\n") + 1 - TAIL, 0)
        del raw[:start]
        if len(raw) > self._limit:
            del raw[TAIL + 2 :]
            raw += b"x"  # the line is too long to be a dot
        self._last_newline = raw.rfind(b"\n")

    def _finish(self) -> None:
        """Turn what was sent into what was meant: line ends, then dots (RFC 5321 section 4.5.2)."""
        content = bytes(self._raw)
        self._raw.clear()
        newlines = content.count(b"\n")
        if newlines != content.count(b"\r\n") or (not self._strict and b"\r\r\n" in content):
            if self._strict:
                self.bare_newline = True
                content = _BARE_NEWLINE.sub(b"\r\n", _LONE_DOT.sub(b"", content))
            else:
                content = _LINE_END.sub(b"\r\n", content)
        if content.startswith(b"."):
            content = content[1:]
        if b"\n." in content:
            content = content.replace(b"\n.", b"\n")
        if self._limit and len(content) > self._limit:
            self.too_large = True
        self.content = b"" if self.too_large else content


def normalize_chunks(content: bytes) -> tuple[bytes, bool]:
    """The content of BDAT with CRLF line ends, the last line ended; tells whether a bare newline was in it.

    RFC 3030 has no dots to unstuff, and the end is counted, so a bare newline cannot make a second message of it.
    """
    bare = content.count(b"\n") != content.count(b"\r\n")
    if bare:
        content = _BARE_NEWLINE.sub(b"\r\n", content)
    if content and not content.endswith(b"\n"):
        content += b"\r\n"
    return content, bare
