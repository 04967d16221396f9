"""CATENATE (RFC 4469): a message put together from text and parts of messages that are already there, named by URL.

URLs are those of this server: ``/INBOX;UIDVALIDITY=1/;UID=20/;SECTION=1.2/;PARTIAL=0.100`` (RFC 5092, URL-PARTIAL of
RFC 5550), or ``;UID=20`` relative to the selected mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from imap.imap4.arguments import Arguments
from imap.imap4.errors import INVALID, Bad, No
from imap.imap4.reader import Literal
from imap.imap4.syntax import string
from imap.mime import Section, SectionError, parse
from imap.mime.binary import without_binary
from imap.store import StoreError

if TYPE_CHECKING:
    from imap.imap4.session import Session

_URL = re.compile(
    rb"(?:(?P<mailbox>/[^;]+?)(?:;UIDVALIDITY=(?P<validity>[0-9]{1,10}))?/)?;UID=(?P<uid>[0-9]{1,10})"
    rb"(?:/;SECTION=(?P<section>[^/;]+(?:;[^/]+)?))?(?:/;PARTIAL=(?P<start>[0-9]{1,19})(?:\.(?P<count>[0-9]{1,19}))?)?",
    re.IGNORECASE,
)
_NAMED = re.compile(rb"(.*HEADER\.FIELDS(?:\.NOT)?)(?: |%20)?\((.*)\)", re.IGNORECASE)


def assemble(session: Session, parts: Arguments, limit: int) -> bytes:
    """The message that ``(TEXT literal URL "..." ...)`` describes. Raises Bad, No [BADURL], No [TOOBIG]."""
    pieces: list[bytes] = []
    size = 0
    binary = False
    for piece in _pieces(session, parts):
        size += len(piece)
        binary |= isinstance(piece, Literal) and piece.binary
        if size > limit:
            raise No("Message is too big.", "TOOBIG")
        pieces.append(piece)
    whole = b"".join(pieces)
    return without_binary(whole) if binary else whole


def _pieces(session: Session, parts: Arguments) -> Iterator[bytes]:
    if not parts.more():
        raise Bad("Empty CATENATE list.")
    while parts.more():
        kind = parts.word()
        if kind == "TEXT":
            text = parts.take()
            if not isinstance(text, Literal):
                raise Bad(INVALID)
            yield text
        elif kind == "URL":
            url = parts.astring()
            yield _fetch(session, url)
        else:
            raise Bad(INVALID)


def _fetch(session: Session, url: bytes) -> bytes:
    """The octets that a URL names. Raises No [BADURL]."""
    bad = No("CATENATE: Invalid URL.", f"BADURL {string(url).decode('latin-1')}")
    found = _URL.fullmatch(url)
    if found is None or b"\r" in url or b"\n" in url:
        raise bad
    try:
        name = _mailbox(session, found["mailbox"])
        data = _message(session, name, found["validity"], int(found["uid"]))
        section = _section(found["section"] or b"")
        octets = section.resolve(parse(data), data)
    except (StoreError, SectionError, UnicodeDecodeError, LookupError) as error:
        raise bad from error
    if octets is None:
        raise bad
    if found["start"] is not None:
        start = int(found["start"])
        octets = octets[start:] if found["count"] is None else octets[start : start + int(found["count"])]
    return octets


def _mailbox(session: Session, path: bytes | None) -> str:
    if path is not None:
        return unquote_to_bytes(path[1:]).decode()
    if session.view is None:
        raise LookupError("no mailbox is selected")
    return session.view.mailbox.name


def _message(session: Session, name: str, validity: bytes | None, uid: int) -> bytes:
    assert session.store is not None
    with session.store.open(name, read_only=True) as mailbox:
        mailbox.sync()
        if (validity is not None and int(validity) != mailbox.uidvalidity) or uid not in mailbox.messages:
            raise LookupError("no such message")
        return mailbox.read(uid)


def _section(text: bytes) -> Section:
    text = unquote_to_bytes(text)
    named = _NAMED.fullmatch(text)
    return Section.parse(named[1], named[2].split()) if named is not None else Section.parse(text)
