"""SORT: the criteria of RFC 5256 and RFC 5957 as keys to compare."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from imap.imap4.arguments import Arguments
from imap.imap4.content import Content
from imap.imap4.errors import Bad
from imap.imap4.search.subject import base_subject
from imap.imap4.search.text import decode_words, fold
from imap.mime import date
from imap.mime.address import addresses
from imap.mime.header import unfold

RELEVANCY = 1  # of every message that matches (RFC 6203): nothing here is fuzzy

Criterion = Callable[[Content], Any]


def sent_date(content: Content) -> datetime:
    """The moment of the Date field, the internal date where it cannot be read (RFC 5256 section 2.2)."""
    found = content.header_fields.get(b"date")
    read = date.read(unfold(content.header, found[0])) if found else None
    return read[0] if read is not None else datetime.fromtimestamp(content.message.internal_date, UTC)


def field(content: Content, name: bytes) -> bytes:
    """The value of the first field of that name, empty where there is none."""
    found = content.header_fields.get(name)
    return unfold(content.header, found[0]) if found else b""


def subject(content: Content) -> str:
    """The base subject."""
    return _collated(base_subject(decode_words(field(content, b"subject")))[0])


def _collated(text: str) -> str:
    """As texts are compared, in capitals: what stands between them and the small letters in ASCII comes behind."""
    return fold(text).upper()


def _mailbox(name: bytes) -> Criterion:
    def key(content: Content) -> str:
        found = addresses(field(content, name))
        return _collated((found[0].mailbox or b"").decode("utf-8", "replace")) if found else ""

    return key


def _display(name: bytes) -> Criterion:
    def key(content: Content) -> str:
        found = addresses(field(content, name))
        if not found:
            return ""
        first = found[0]
        if first.name:
            return _collated(decode_words(first.name))
        parts = (part.decode("utf-8", "replace") for part in (first.mailbox, first.domain) if part is not None)
        return _collated("@".join(parts))

    return key


CRITERIA: dict[str, Criterion] = {
    "ARRIVAL": lambda content: content.message.internal_date,
    "CC": _mailbox(b"cc"),
    "DATE": sent_date,
    "DISPLAYFROM": _display(b"from"),
    "DISPLAYTO": _display(b"to"),
    "FROM": _mailbox(b"from"),
    "RELEVANCY": lambda content: RELEVANCY,
    "SIZE": lambda content: content.message.size,
    "SUBJECT": subject,
    "TO": _mailbox(b"to"),
    "X-SCORE": lambda content: RELEVANCY,
}


class SortProgram:
    """``([REVERSE] criterion ...)``."""

    def __init__(self, group: Arguments) -> None:
        self.criteria: list[tuple[str, bool]] = []
        reverse = False
        while group.more():
            word = group.word()
            if word == "REVERSE":
                reverse = not reverse
                continue
            if word not in CRITERIA:
                raise Bad(f"Unknown sort argument: {word}")
            if len(self.criteria) < len(CRITERIA):
                self.criteria.append((word, reverse))
            reverse = False
        if reverse:
            raise Bad("Sort list ends with REVERSE")
        if not self.criteria:
            raise Bad("Empty sort program.")

    @property
    def reads_header(self) -> bool:
        """Whether a header must be read for it."""
        return any(name not in ("ARRIVAL", "RELEVANCY", "SIZE", "X-SCORE") for name, _ in self.criteria)

    def keys(self, content: Content) -> tuple[Any, ...]:
        """What is compared of one message."""
        return tuple(CRITERIA[name](content) for name, _ in self.criteria)

    def order(self, rows: list[tuple[int, tuple[Any, ...]]]) -> list[int]:
        """The sequence numbers of ``(number, keys)`` rows in order; ties go by number."""
        rows.sort(key=lambda row: row[0])
        for index in range(len(self.criteria) - 1, -1, -1):
            rows.sort(key=lambda row: row[1][index], reverse=self.criteria[index][1])
        return [number for number, _ in rows]
