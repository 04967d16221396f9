"""The content of DATA: where a message ends and what it says. Sans-I/O; one message stays one message.

RFC 5321 section 4.1.1.4 ends the content with <CR><LF>.<CR><LF> and section 2.3.8 knows no other line end. What else
may end a line or the content is the site's decision, smtpd_forbid_bare_newline in postconf(5); a receiver that is
more tolerant than the relay before it can be made to see two messages where the relay saw one (SMTP smuggling).

    reader = DotReader(Newlines.NORMALIZE, limit=message_size_limit)
    rest = reader.feed(octets)      # None: more is needed; else the octets that follow the end of the content
    reader.take()                   # the content: CRLF line ends, dots unstuffed, the last line ended
"""

from __future__ import annotations

import enum
import re
from typing import Final

from mta.smtpd.spool import MEMORY_OCTETS, Spool

_LINE_END: Final = re.compile(rb"(?<!\r)\r*+\n")
_BARE_NEWLINE: Final = re.compile(rb"(?<!\r)\n")
_LONE_DOT: Final = re.compile(rb"(?m)^\.\r?\n")

SLACK: Final = 1024
"""Octets beyond the limit that may wait for the end of their line: it may be the dot, or end in carriage returns."""


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

    def __init__(
        self, newlines: Newlines, limit: int = 0, spool: Spool | None = None, memory: int = MEMORY_OCTETS
    ) -> None:
        """`limit` in octets of content, 0 for none: what is longer is read to its end but not kept.

        `spool` takes what arrived more than `memory` octets ago.
        """
        self._strict = newlines is not Newlines.ANY
        self._limit = limit
        self._memory = memory
        self._settled = spool or Spool()
        """Content of lines that are read, once they are many or come near the limit."""
        self._raw = bytearray()
        """What was sent behind them, as it was sent; begins with a line."""
        self._amid_line = False
        """`_raw` begins within a line, of which an octet stands in front that does not count."""
        self._after_crlf = True
        """Whether the line before `_raw` ended well: a dot may end the content there."""
        self._last_newline = -1
        self._dots = False
        """Whether a line begins with a dot and is not the end."""
        self._last = b""
        """Content behind what is settled, once the end has come."""
        self.too_large = False
        self.bare_newline = False
        """Whether a line ended in a line feed alone (only watched where the policy asks for it)."""

    @property
    def size(self) -> int:
        """Octets of content, once the end has come."""
        return self._settled.size + len(self._last)

    def take(self) -> bytes:
        """The content; empty if it was too large, or taken before. Raises OSError where it could not be kept."""
        try:
            content = self._settled.read() + self._last if self._settled.size else self._last
        finally:
            self.forget()
        return content

    def forget(self) -> None:
        """Let go of the content."""
        self._settled.clear()
        self._raw.clear()
        self._last = b""

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
        near = SLACK if self.too_large else self._limit + SLACK
        if len(raw) > self._memory or (self._limit and self._settled.size + len(raw) > near):
            self._settle()
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
                if raw.startswith(b"\r\n", start + 1) and (
                    raw.startswith(b"\r\n", start - 2) if start else self._after_crlf
                ):
                    return start, start + 3
            elif match := _LINE_END.match(raw, start + 1):
                return start, match.end()
            self._dots = True
            start = raw.find(b"\n.", start) + 1
            if not start:
                return None
        return None

    def _settle(self) -> None:
        """Make content of the lines that are complete; of content that is too large keep nothing but the last line.

        Only what the lines mean counts against the limit: neither stuffed dots nor the end of the content do.
        """
        raw = self._raw
        end = raw.rfind(b"\n") + 1
        if end:
            lines = bytes(raw[:end])
            del raw[:end]
            self._after_crlf = lines.endswith(b"\r\n")
            self._last_newline = -1
            if not self.too_large:
                self._settled.write(self._meaning(lines))
            self._amid_line = False
        elif len(raw) > self._memory + SLACK and not self.too_large:
            # The line goes on, neither dot nor stuffed any more; its last carriage returns may belong to its end.
            piece = bytes(raw[:-SLACK])
            raw[:-SLACK] = b"x"
            self._settled.write(self._meaning(piece))
            self._amid_line = True
        if self._limit and (
            self._settled.size > self._limit or self._settled.size + len(raw) > self._limit + SLACK + self._amid_line
        ):
            self.too_large = True
            self._settled.clear()
        if self.too_large and len(raw) > SLACK:
            raw[:] = b"x"  # the line is too long to be a dot

    def _finish(self) -> None:
        """The end has come; `_raw` ends before it."""
        if not self.too_large:
            self._last = self._meaning(bytes(self._raw))
            self.too_large = 0 < self._limit < self.size
        self._raw.clear()
        if self.too_large:
            self.forget()

    def _meaning(self, lines: bytes) -> bytes:
        """Turn what was sent into what was meant: line ends, then dots (RFC 5321 section 4.5.2)."""
        newlines = lines.count(b"\n")
        if newlines != lines.count(b"\r\n") or (not self._strict and b"\r\r\n" in lines):
            if self._strict:
                self.bare_newline = True
                lines = _BARE_NEWLINE.sub(b"\r\n", _LONE_DOT.sub(b"", lines))
            else:
                lines = _LINE_END.sub(b"\r\n", lines)
        if lines.startswith(b".") or self._amid_line:
            lines = lines[1:]
        if self._dots and b"\n." in lines:
            lines = lines.replace(b"\n.", b"\n")
        return lines


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
