"""The tree of MIME parts of a message (RFC 2045, 2046), found by offset in one linear pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from imap.mime.header import Field, header_end, named, unfold
from imap.mime.parameters import ContentType, content_type

# Dovecot's own bounds: deeper nesting is shown as one opaque part, later parts belong to the last one.
MAX_DEPTH = 100
MAX_PARTS = 10000
# RFC 2046 allows 70 characters; longer boundaries are compared by this much.
MAX_BOUNDARY = 80
# Fields of one message that its tree keeps, all headers together: each costs about a microsecond, and ten thousand
# parts have no more between them. Later ones are passed over.
MAX_FIELDS = 100_000

_CONTENT_FIELDS = frozenset(
    (
        b"content-type",
        b"content-transfer-encoding",
        b"content-id",
        b"content-description",
        b"content-disposition",
        b"content-md5",
        b"content-language",
        b"content-location",
    )
)
_ENVELOPE_FIELDS = frozenset(
    (b"date", b"subject", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"in-reply-to", b"message-id")
)
_PART_FIELDS = _CONTENT_FIELDS | {b"mime-version"}
_MESSAGE_FIELDS = _PART_FIELDS | _ENVELOPE_FIELDS
# Inside a multipart a header ends at its blank line or at a boundary.
_BLANK_OR_BOUNDARY = re.compile(rb"\n(?:\r?\n|(?=--))")


@dataclass(slots=True)
class Part:
    """One part: offsets into the message (the body ends before the line end that belongs to the next boundary)."""

    start: int
    body: int = 0
    end: int = 0
    media: ContentType | None = None
    is_mime: bool = False
    is_message: bool = False
    is_multipart: bool = False
    children: list[Part] = field(default_factory=list)
    content: dict[bytes, list[Field]] = field(default_factory=dict)
    envelope: dict[bytes, list[Field]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Octets of the body."""
        return self.end - self.body

    def lines(self, message: bytes) -> int:
        """Line ends in the body."""
        return message.count(b"\n", self.body, self.end)

    def walk(self) -> Iterator[Part]:
        """This part and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(message: bytes) -> Part:
    """The tree of ``message``; never raises."""
    return _Parser(message).parse()


@dataclass(slots=True)
class _Boundary:
    """A multipart whose boundary lines are being looked for."""

    delimiter: bytes


class _Parser:
    def __init__(self, message: bytes) -> None:
        self.message = message
        self.size = len(message)
        self.open: list[_Boundary] = []
        self.starts: tuple[bytes, ...] = ()
        self.parts = 0
        self.fields = MAX_FIELDS  # that may still be kept
        # The boundary line that ended the part read last: whose it is, whether it closes, offset behind it.
        self.hit: _Boundary | None = None
        self.closes = False
        self.after = 0

    def parse(self) -> Part:
        root = Part(0)
        self._part(root, depth=1, with_envelope=True, default=None)
        root.end = self.size
        return root

    def _part(self, part: Part, *, depth: int, with_envelope: bool, default: str | None) -> int:
        """Read header and body of ``part``; returns the offset where the line of the ending boundary begins."""
        self.parts += 1
        stop = self._header(part, with_envelope=with_envelope)
        self._classify(part, digest_child=default == "digest")
        if stop is not None:
            part.end = part.body
            if part.is_message:
                part.children.append(Part(part.body, part.body, part.body))
            return stop
        if part.is_multipart and depth < MAX_DEPTH and part.media is not None:
            boundary = next((v for k, v in part.media.parameters if k.lower() == b"boundary"), None)
            if boundary is not None:
                return self._multipart(part, boundary[:MAX_BOUNDARY], depth)
        if part.is_message and depth < MAX_DEPTH:
            child = Part(part.body)
            part.children.append(child)
            line = self._part(child, depth=depth + 1, with_envelope=True, default=None)
            part.end = child.end
            return line
        line = self._rest(part, part.body)
        if line == part.body and self.hit is not None and not with_envelope:
            part.body = part.end = self._before(part.start, line)  # its blank line belongs to the boundary
        return line

    def _rest(self, part: Part, position: int) -> int:
        """The text from ``position`` to the next boundary ends ``part``."""
        line = self._next_boundary(position)
        part.end = self._before(position, line)
        return line

    def _header(self, part: Part, *, with_envelope: bool) -> int | None:
        """Read the header; returns the offset of a boundary line that stands inside it, if one does."""
        message = self.message
        end, bounded = self._header_end(part.start)
        names = _MESSAGE_FIELDS if with_envelope else _PART_FIELDS
        for found in islice(named(message, names, part.start, end), self.fields):
            self.fields -= 1
            name = found.name.lower()
            if name in _CONTENT_FIELDS:
                part.content.setdefault(name, []).append(found)
            elif name == b"mime-version":
                part.is_mime = True
            else:
                part.envelope.setdefault(name, []).append(found)
        # The line end before a boundary belongs to it, but not that of an enclosed message's header: as Dovecot.
        part.body = self._before(part.start, end) if bounded and not with_envelope else end
        return end if bounded else None

    def _header_end(self, start: int) -> tuple[int, bool]:
        """Where the header ends that begins at ``start``, and whether it is a boundary line that ends it.

        One search for both: a header without a blank line must not be read to the end of the mail for every part.
        """
        message = self.message
        if not self.starts or message.startswith((b"\n", b"\r\n"), start):
            return header_end(message, start), False
        if self._matches(start):
            return start, True
        for found in _BLANK_OR_BOUNDARY.finditer(message, start):
            if found.end() - found.start() > 1:
                return found.end(), False
            if self._matches(found.end()):
                return found.end(), True
        return self.size, False

    def _classify(self, part: Part, *, digest_child: bool) -> None:
        declared = part.content.get(b"content-type")
        if declared is None and not part.is_mime:
            part.content.clear()  # not MIME at all: other Content- fields say nothing (RFC 2045 section 4)
        part.media = content_type(unfold(self.message, declared[0])) if declared is not None else None
        if declared is None:
            part.is_message = digest_child
            return
        if part.media is not None:
            kind = part.media.type.lower() + b"/" + part.media.subtype.lower()
            part.is_message = kind == b"message/rfc822"
            part.is_multipart = part.media.type.lower() == b"multipart"

    def _multipart(self, part: Part, boundary: bytes, depth: int) -> int:
        assert part.media is not None
        mine = _Boundary(boundary)
        self._push(mine)
        line = self._rest(part, part.body)
        default = "digest" if part.media.subtype.lower() == b"digest" else None
        while self.hit is mine and not self.closes:
            child = Part(self.after, is_mime=True)
            part.children.append(child)
            line = self._part(child, depth=depth + 1, with_envelope=False, default=default)
            part.end = child.end
        self._pop(mine)
        if self.hit is mine:  # closed: the epilogue belongs to this part
            return self._rest(part, self.after)
        return line

    def _push(self, boundary: _Boundary) -> None:
        self.open.append(boundary)
        self.starts = tuple(b"--" + each.delimiter for each in self.open)

    def _pop(self, boundary: _Boundary) -> None:
        assert self.open.pop() is boundary
        self.starts = tuple(b"--" + each.delimiter for each in self.open)

    def _before(self, body: int, line: int) -> int:
        """The end of a body whose next boundary line begins at ``line``: its line end belongs to the boundary."""
        if line >= self.size and self.hit is None:
            return self.size
        if line > body and self.message[line - 1] == 10:
            line -= 1
            if line > body and self.message[line - 1] == 13:
                line -= 1
        return line

    def _next_boundary(self, position: int) -> int:
        """Find the next line that is a boundary of an open multipart; the offset of its beginning, or the end."""
        message = self.message
        self.hit = None
        if not self.open:
            return self.size
        if self._matches(position):
            return position
        while True:
            position = message.find(b"\n--", position) + 1
            if not position:
                return self.size
            if self._matches(position):
                return position

    def _matches(self, line: int) -> bool:
        """Whether a boundary line begins at ``line``; sets ``hit``, ``closes`` and ``after``."""
        message = self.message
        if not message.startswith(self.starts, line) or self.parts >= MAX_PARTS:
            return False
        line_end = message.find(b"\n", line)
        self.after = line_end + 1 if line_end >= 0 else self.size
        text = message[line + 2 : min(self.after, line + 2 + 1024)].rstrip(b"\r\n")
        dashes = text.endswith(b"--")
        best: _Boundary | None = None
        # The innermost multipart first; the line need only begin with the boundary, the longest one wins.
        for each in reversed(self.open):
            if text.startswith(each.delimiter) and (best is None or len(each.delimiter) > len(best.delimiter)):
                best = each
                exact = len(text) - len(each.delimiter)
                if exact == 0 or (exact == 2 and dashes):
                    break
        self.hit = best
        self.closes = best is not None and text.startswith(b"--", len(best.delimiter))
        return best is not None
