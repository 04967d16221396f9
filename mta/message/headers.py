"""The header block of a message: where it ends, its fields, and what they are called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*")
"""A field name without blanks, an optional blank before the colon (obsolete, RFC 5322 section 4.5), folded lines."""

MAILBOX_LINE: Final = re.compile(rb"(?:>*From [^\n]*\n)+")
"""mbox separators at the top of a message; smtpd(8) keeps them as X-Mailbox-Line."""


class Field(NamedTuple):
    """One header field."""

    name: bytes
    """Lower case, for comparison."""
    octets: bytes
    """The whole field as written, folded, CRLF ended."""

    @property
    def value(self) -> bytes:
        """What stands after the colon, unfolded: line ends removed, blanks at both ends too."""
        return self.octets.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")

    @property
    def text(self) -> str:
        """The logical header as header_checks(5) sees it: lines joined by a line feed, without the last line end."""
        return self.octets[:-2].replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape")


def shortened(each: Field, limit: int) -> Field:
    """header_size_limit: what is beyond `limit` octets, line ends counted as one, is lost."""
    if len(each.octets) <= limit:
        return each
    kept = each.octets[:-2].replace(b"\r\n", b"\n")[:limit].rstrip(b" \t\n")
    return Field(each.name, kept.replace(b"\n", b"\r\n") + b"\r\n")


def field(name: str, value: str) -> Field:
    """A new field; `value` may be folded with a line feed and a blank."""
    text = f"{name}: {value}\n".replace("\n", "\r\n")
    return Field(name.lower().encode("ascii", "replace"), text.encode("utf-8", "surrogateescape"))


def split(content: bytes) -> tuple[list[Field], bytes]:
    """The header fields and the rest: the empty line and the body.

    The first line that is neither a field nor part of one ends the header, even if it is not empty: the rest then
    begins with an empty line that was not sent, as cleanup(8) inserts it. Content without a body gives an empty rest.
    """
    fields: list[Field] = []
    position = 0
    match_field = _FIELD.match
    while match := match_field(content, position):
        octets = match[0]
        if octets[len(match[1]) : len(match[1]) + 1] != b":":
            octets = match[1] + octets[octets.index(b":") :]  # mended on the way, as Postfix does
        fields.append(Field(match[1].lower(), octets))
        position = match.end()
    rest = content[position:]
    if rest and not rest.startswith(b"\r\n"):
        rest = b"\r\n" + rest
    return fields, rest


def join(fields: Iterable[Field], rest: bytes) -> bytes:
    """A message again; there is always an empty line after the header, or the first line of a body could be a field."""
    return b"".join([*(each.octets for each in fields), rest or b"\r\n"])


def quote_mailbox_lines(content: bytes) -> bytes:
    """`From ` lines at the top become X-Mailbox-Line fields."""
    match = MAILBOX_LINE.match(content)
    if match is None:
        return content
    lines = match[0].splitlines(keepends=True)
    return b"".join(b"X-Mailbox-Line: " + line for line in lines) + content[match.end() :]
