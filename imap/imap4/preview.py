"""PREVIEW (RFC 8970): the first words of a message, for lists of messages."""

from __future__ import annotations

import re
from html import unescape

from imap.imap4.content import Content
from imap.imap4.search.text import decode, transfer_decoded
from imap.mime import Part

MAX_PREVIEW = 200  # characters (RFC 8970 section 3.3)
# So many octets of a part are looked at: markup may stand before the first word.
MAX_LOOKED_AT = 64 << 10

_MARKUP = re.compile(
    r"<(script|style|head)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*(?:>|\Z)", re.DOTALL | re.IGNORECASE
)
_SPACE = re.compile(r"\s+")
_QUOTED_LINE = re.compile(r"(?m)^>.*$")


def preview(content: Content) -> bytes:
    """Up to 200 characters of the first text part, UTF-8, white space joined; empty where there is no text."""
    part = _first_text(content.part)
    if part is None:
        return b""
    subtype, charset = "plain", "utf-8"
    if part.media is not None:
        subtype = part.media.subtype.decode("latin-1").lower()
        for name, value in part.media.parameters:
            if name.lower() == b"charset":
                charset = value.decode("latin-1")
    octets = transfer_decoded(content.data, part)[:MAX_LOOKED_AT]
    text = decode(octets, "utf-8" if charset.lower() == "us-ascii" else charset)
    if subtype == "html":
        text = unescape(_MARKUP.sub(" ", text))
    else:
        text = _QUOTED_LINE.sub("", text) or text
    return _SPACE.sub(" ", text).strip()[:MAX_PREVIEW].rstrip().encode("utf-8", "replace")


def _first_text(root: Part) -> Part | None:
    """The first part that is text; plain text before HTML within an alternative comes first anyway."""
    for part in root.walk():
        if part.is_multipart or part.is_message:
            continue
        if part.media is None or part.media.type.lower() == b"text":
            return part
    return None
