"""PREVIEW (RFC 8970): the first words of a message, for lists of messages, chosen as Dovecot does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import name2codepoint

from imap.imap4.search.text import decode
from imap.mime import Part, encoding

MAX_PREVIEW = 200  # characters (RFC 8970 section 3.3)
# So many octets of a part are looked at: markup may stand before the first word.
MAX_LOOKED_AT = 64 << 10

_SPACE = re.compile(r"[ \t\r\n\v\f]+")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_UNREADABLE = re.compile("\ufffd+")
_MARKUP = re.compile(
    r"(?P<silent><!--.*?(?:--\s*>|\Z))|<!\[CDATA\[(?P<data>.*?)(?:\]\]>|\Z)"
    r"|<(?P<hidden>script|style)(?=[\s>]).*?(?:</(?P=hidden)>|\Z)"
    r"|<(?P<quote>/?blockquote)(?=[\s>])[^>]*+(?:>|\Z)"
    r"|<(?:[^<>\"']++|\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[\"'])*+(?:>|\Z|(?=<))"
    r"|&(?:#(?P<number>[0-9]{1,7}|x[0-9a-f]{1,6})|(?P<entity>[a-z0-9]{1,8}));|(?P<stray>&)",
    re.DOTALL | re.IGNORECASE,
)


def preview(message: bytes, root: Part) -> bytes:
    """Up to 200 characters of the first text part, UTF-8, white space joined; empty where there is no text."""
    part = _first_text(root)
    if part is None:
        return b""
    declared = encoding.declared(part, message)
    if declared not in encoding.KNOWN:
        return b""
    octets = encoding.decode(message[part.body : part.end], declared).octets[:MAX_LOOKED_AT]
    text = decode(octets, (part.media.charset if part.media is not None else None) or "utf-8")
    text = _UNREADABLE.sub("\ufffd", text.replace("\0", "").replace("\ufeff", ""))
    is_html = part.media is not None and part.media.subtype.lower() == b"html"
    own, quoted = _sorted(_html(text) if is_html else iter([(False, text)]))
    return (own or (quoted and ">" + quoted))[:MAX_PREVIEW].rstrip().encode()


def _first_text(root: Part) -> Part | None:
    """The first part that is text; enclosed messages are not looked into."""
    if root.is_message:
        return None
    if root.is_multipart:
        return next((found for child in root.children if (found := _first_text(child)) is not None), None)
    is_text = root.media is None or (root.media.type.lower() == b"text" and root.media.subtype)
    return root if is_text else None


def _sorted(pieces: Iterator[tuple[bool, str]]) -> tuple[str, str]:
    """What the author wrote and what was quoted, from pieces of text that are quoted as a whole or line by line."""
    own: list[str] = []
    quotes: list[str] = []
    chosen = own
    line_begins = True
    for is_quote, text in pieces:
        if is_quote:
            quotes.append(text)
            continue
        for line in _LINES.findall(text):
            if line_begins:
                chosen = quotes if line.startswith(">") else own
            chosen.append(line[1:] if line_begins and chosen is quotes else line)
            line_begins = line.endswith("\n")
    return _tidy(own), _tidy(quotes)


def _tidy(lines: list[str]) -> str:
    return _SPACE.sub(" ", "".join(lines)).strip(" ")


def _html(text: str) -> Iterator[tuple[bool, str]]:
    """The text of HTML in pieces, and whether each stands within a blockquote."""
    depth, position = 0, 0
    for found in _MARKUP.finditer(text):
        yield depth > 0, text[position : found.start()]
        position = found.end()
        yield depth > 0, _meaning(found)
        if found["quote"]:
            depth = depth + 1 if found["quote"][0] != "/" else max(depth - 1, 0)
    yield depth > 0, text[position:]


def _meaning(found: re.Match[str]) -> str:
    """What a piece of markup says: a tag parts words, an entity is a character, what is unknown is nothing."""
    if found["data"] is not None:
        return found["data"]
    if found["number"] is not None:
        digits = found["number"]
        number = int(digits) if digits.isdigit() else int(digits[1:], 16) if digits[0] == "x" else 0
        return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else ""
    if found["entity"] is not None:
        code = name2codepoint.get(found["entity"])
        return "" if code is None else chr(code)
    return "" if found["silent"] is not None or found["stray"] is not None else " "
