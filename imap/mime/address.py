"""Address lists (RFC 5322 section 3.4) as ENVELOPE shows them, groups and broken addresses included."""

from __future__ import annotations

from typing import NamedTuple

from imap.mime.rfc822 import Cursor

# What Dovecot writes where an address lacks a part; clients and tests know these words.
MISSING_MAILBOX = b"MISSING_MAILBOX"
MISSING_DOMAIN = b"MISSING_DOMAIN"
INVALID_ROUTE = b"INVALID_ROUTE"
SYNTAX_ERROR = b"SYNTAX_ERROR"

_WORD_START = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.\""
) | frozenset(range(0x80, 0x100))


class Address(NamedTuple):
    """One address structure (RFC 3501 section 7.4.2): a group begins with only a mailbox and ends with nothing."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    domain: bytes | None


GROUP_END = Address(None, None, None, None)


class _Draft:
    """An address being read."""

    __slots__ = ("domain", "mailbox", "name", "route")

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.route: bytes | None = None
        self.mailbox: bytes | None = None
        self.domain: bytes | None = None

    def finished(self) -> Address:
        mailbox = MISSING_MAILBOX if self.mailbox is None else self.mailbox
        return Address(self.name, self.route, mailbox, self.domain or MISSING_DOMAIN)


def addresses(value: bytes) -> list[Address]:
    """Every address of one unfolded field value; what cannot be read ends the list with a marked address."""
    cursor = Cursor(value)
    found: list[Address] = []
    if not cursor.skip_white():
        return found
    while True:
        if not _group(cursor, found):
            _mailbox(cursor, found)
        if cursor.peek() != 0x2C:
            return found
        cursor.position += 1
        if not cursor.skip_white():
            return found


def _phrase(cursor: Cursor) -> bytes | None:
    """``1*word`` with one space between words, or None where no phrase stands; may be empty before ``<``."""
    if cursor.peek() == 0x2E:
        return None
    words = _words(cursor)
    return b" ".join(words) if cursor.more() else None


def _words(cursor: Cursor) -> list[bytes]:
    """The words of a phrase, as far as they can be read."""
    words: list[bytes] = []
    while cursor.peek() in _WORD_START:
        if cursor.peek() == 0x22:
            quoted = cursor.quoted_string()
            if quoted is None:
                break
            words.append(quoted)
        else:
            words.append(_atom_or_dot(cursor))
        if not cursor.skip_white():
            break
    return words


def _atom_or_dot(cursor: Cursor) -> bytes:
    pieces = []
    while True:
        run = cursor.atom()
        pieces.append(run)
        if cursor.peek() != 0x2E:
            return b"".join(pieces)
        pieces.append(b".")
        cursor.position += 1


def _group(cursor: Cursor, found: list[Address]) -> bool:
    """Read ``display-name ":" [mailbox-list] ";"``; False, nothing read, where none stands."""
    start = cursor.position
    name = _phrase(cursor)
    if name is None or cursor.peek() != 0x3A:
        cursor.position = start
        return False
    cursor.position += 1
    found.append(Address(None, None, name, None))
    if cursor.skip_white() and cursor.peek() != 0x3B:
        while True:
            _mailbox(cursor, found)
            if cursor.peek() != 0x2C:
                break
            cursor.position += 1
            if not cursor.skip_white():
                break
    if cursor.peek() == 0x3B:
        cursor.position += 1
        cursor.skip_white()
    found.append(GROUP_END)
    return True


def _mailbox(cursor: Cursor, found: list[Address]) -> None:
    """Read ``[phrase] <addr-spec>`` or a bare ``addr-spec``."""
    start = cursor.position
    draft = _Draft()
    name = _phrase(cursor)
    if name is not None and cursor.peek() == 0x3C:
        draft.name = name or None
        if not _angle_address(cursor, draft):
            draft.domain = SYNTAX_ERROR
    else:
        cursor.position = start
        _bare_address(cursor, draft)
    found.append(draft.finished())


def _angle_address(cursor: Cursor, draft: _Draft) -> bool:
    cursor.position += 1
    if not cursor.skip_white():
        return False
    if cursor.peek() == 0x40:
        draft.route = _route(cursor)
        if draft.route is not None and cursor.peek() == 0x3A:
            cursor.position += 1
        else:
            if not cursor.more():
                return False
            draft.route = INVALID_ROUTE
        if not cursor.skip_white():
            return False
    if cursor.peek() != 0x3E:
        if not _local_part(cursor, draft) or not cursor.more():
            return False
        if cursor.peek() == 0x40 and (not _domain(cursor, draft) or not cursor.more()):
            return False
    if cursor.peek() != 0x3E:
        return False
    cursor.position += 1
    cursor.skip_white()
    return True


def _route(cursor: Cursor) -> bytes | None:
    """``@a,@b`` before the colon of a source route (RFC 5322 section 4.4)."""
    hops = []
    while cursor.peek() == 0x40:
        domain = _domain_text(cursor)
        if domain is None:
            return None
        hops.append(b"@" + domain)
        while cursor.skip_white() and cursor.peek() == 0x2C:
            cursor.position += 1
    return b",".join(hops)


def _bare_address(cursor: Cursor, draft: _Draft) -> None:
    cursor.forget_comment()
    quoted = cursor.peek() == 0x22
    _local_part(cursor, draft)
    at = cursor.peek() == 0x40
    if at:
        _domain(cursor, draft)
    if cursor.comment:
        draft.name = cursor.comment
    elif not at:
        # One word is a mailbox without a domain; several words are a name without an address.
        more = _words(cursor) if cursor.peek() != 0x2E else []
        if more:
            # Dovecot keeps a second space behind a dot, which shows in that the name goes as a literal.
            gap = b"  " if draft.mailbox and draft.mailbox.endswith(b".") else b" "
            draft.name, draft.mailbox = (draft.mailbox or b"") + gap + b" ".join(more), None
        elif quoted:
            draft.name, draft.mailbox = draft.mailbox, None


def _local_part(cursor: Cursor, draft: _Draft) -> bool:
    if cursor.peek() == 0x22:
        text = cursor.quoted_string()
        cursor.skip_white()
    else:
        pieces = []
        while True:
            piece = _atom_or_dot(cursor)
            pieces.append(piece)
            cursor.skip_white()
            if not piece or cursor.peek() != 0x2E:
                break
        text = b"".join(pieces) or None
    if cursor.broken:
        text = None
    draft.mailbox = text
    return text is not None


def _domain(cursor: Cursor, draft: _Draft) -> bool:
    draft.domain = _domain_text(cursor)
    return draft.domain is not None


def _domain_text(cursor: Cursor) -> bytes | None:
    cursor.position += 1
    if not cursor.skip_white():
        return None
    if cursor.peek() == 0x5B:
        text = cursor.domain_literal()
        cursor.skip_white()
        return text
    text = cursor.dot_atom()
    return None if cursor.broken else text or None
