"""The lexical layer of RFC 5322 and RFC 2045: comments, quoted strings, atoms and tokens, read leniently and in order.

Every method moves ``position`` forward only, so a value is read in linear time. Nothing raises. A NUL ends an atom or
token; within quotes, brackets or comments it becomes U+FFFD.
"""

from __future__ import annotations

import re

from imap.imap4.syntax import NUL

_ATEXT = re.compile(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\x80-\xff]+")
_TOKEN = re.compile(rb"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+")
_QUOTED_RUN = re.compile(rb"[^\"\\\r\n]+")
_COMMENT_RUN = re.compile(rb"[^()\\]+")
_LITERAL_RUN = re.compile(rb"[^\[\]\\\r\n]+")
_WHITE = re.compile(rb"[ \t\r\n]+")


class Cursor:
    """A place in a header value."""

    __slots__ = ("broken", "comment", "data", "end", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.end = len(data)
        self.comment: bytes | None = None  # text of the last comment skipped
        self.broken = False  # whether a comment was met that never ends

    def forget_comment(self) -> None:
        """Forget the comments skipped so far."""
        self.comment = None

    def more(self) -> bool:
        """Whether anything is left."""
        return self.position < self.end

    def peek(self) -> int:
        """The next octet, 0 at the end."""
        return self.data[self.position] if self.position < self.end else 0

    def skip_white(self) -> bool:
        """Skip white space and comments; False at the end of the value or in a comment that never ends."""
        while self.position < self.end:
            octet = self.data[self.position]
            if octet in b" \t\r\n":
                found = _WHITE.match(self.data, self.position)
                assert found
                self.position = found.end()
            elif octet == 0x28:
                if not self._skip_comment():
                    return False
            else:
                return True
        return False

    def _skip_comment(self) -> bool:
        """Skip ``( ... )``, nested comments included, keeping its text; False when it never ends."""
        depth, pieces = 0, []
        data = self.data
        while self.position < self.end:
            octet = data[self.position]
            if octet == 0x28:
                depth += 1
                if depth > 1:
                    pieces.append(b"(")
                self.position += 1
            elif octet == 0x29:
                depth -= 1
                self.position += 1
                if depth == 0:
                    self.comment = _WHITE_FOLD.sub(b"", b"".join(pieces)).replace(b"\0", NUL)
                    return True
                pieces.append(b")")
            elif octet == 0x5C:
                pieces.append(data[self.position + 1 : self.position + 2])
                self.position = min(self.position + 2, self.end)
            else:
                found = _COMMENT_RUN.match(data, self.position)
                assert found
                pieces.append(found.group())
                self.position = found.end()
        self.broken = True
        return False

    def token(self) -> bytes:
        """A MIME token (RFC 2045 section 5.1), possibly empty."""
        return self._run(_TOKEN)

    def atom(self) -> bytes:
        """A run of atext (8-bit characters allowed), possibly empty; white space behind it is left alone."""
        return self._run(_ATEXT)

    def dot_atom(self) -> bytes:
        """atext runs joined by dots, white space and comments allowed around them; empty where a run is missing."""
        pieces = [self._run(_ATEXT)]
        self.skip_white()
        while self.peek() == 0x2E:
            self.position += 1
            self.skip_white()
            pieces.append(self._run(_ATEXT))
            self.skip_white()
        return b".".join(pieces) if all(pieces) else b""

    def _run(self, pattern: re.Pattern[bytes]) -> bytes:
        found = pattern.match(self.data, self.position)
        if found is None:
            return b""
        self.position = found.end()
        return found.group()

    def quoted_string(self) -> bytes | None:
        """The text of the quoted string that begins here (line ends dropped); None when it never ends."""
        self.position += 1
        pieces: list[bytes] = []
        data = self.data
        while self.position < self.end:
            octet = data[self.position]
            if octet == 0x22:
                self.position += 1
                return b"".join(pieces).replace(b"\0", NUL)
            if octet == 0x5C:
                pieces.append(data[self.position + 1 : self.position + 2])
                self.position = min(self.position + 2, self.end)
            elif octet in b"\r\n":
                self.position += 1
            else:
                found = _QUOTED_RUN.match(data, self.position)
                assert found
                pieces.append(found.group())
                self.position = found.end()
        return None

    def domain_literal(self) -> bytes | None:
        """``[ ... ]`` with its brackets; None when it never ends."""
        self.position += 1
        pieces = [b"["]
        data = self.data
        while self.position < self.end:
            octet = data[self.position]
            if octet == 0x5D:
                self.position += 1
                pieces.append(b"]")
                return b"".join(pieces).replace(b"\0", NUL)
            if octet == 0x5B:
                return None
            if octet == 0x5C:
                pieces.append(data[self.position : self.position + 2])
                self.position = min(self.position + 2, self.end)
            elif octet in b"\r\n":
                self.position += 1
            else:
                found = _LITERAL_RUN.match(data, self.position)
                assert found
                pieces.append(found.group())
                self.position = found.end()
        return None


_WHITE_FOLD = re.compile(rb"\r?\n")
