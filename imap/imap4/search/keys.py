"""Search keys (RFC 3501 section 6.4.4; WITHIN RFC 5032, CONDSTORE RFC 7162, SEARCHRES RFC 5182) as predicates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from operator import eq, ge, lt

from imap.imap4.arguments import Arguments, Atom, Group
from imap.imap4.content import Content
from imap.imap4.dates import read_date, utc_date
from imap.imap4.errors import INVALID, Bad, No, ParseError
from imap.imap4.flags import is_keyword
from imap.imap4.objectid import email_id
from imap.imap4.search.cost import BODY, FILE, HEADER, INDEX
from imap.imap4.search.text import address_texts, all_header_texts, body_texts, fold, header_texts_of, known_charset
from imap.imap4.sequence import SequenceSet
from imap.imap4.view import View
from imap.mime import date as mail_date
from imap.mime.header import unfold
from imap.store import mutf7

# More keys than this in one search are refused: each is asked of every message.
MAX_KEYS = 1000

MAX_SIZE = (1 << 64) - 1

_FLAGS = {
    "ANSWERED": "\\Answered",
    "DELETED": "\\Deleted",
    "DRAFT": "\\Draft",
    "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
}
_ADDRESS_KEYS = ("BCC", "CC", "FROM", "TO")
_ADDRESS_FIELDS = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))
_COMPARE: dict[str, Callable[[date, date], bool]] = {"BEFORE": lt, "ON": eq, "SINCE": ge}
_NO_DATE = date(1970, 1, 1)  # a message whose Date field cannot be read was sent then


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how dear it is to ask, and the question."""

    cost: int
    test: Callable[[Content], bool]
    # A part of the question that costs less than the header; whatever it denies is no match.
    cheap: Callable[[Content], bool] | None = None


class KeyReader:
    """Reads the keys of one search over one view."""

    def __init__(self, view: View, charset: str) -> None:
        self.view = view
        self._charset = "utf-8" if charset.lower() == "us-ascii" else charset
        self._readable = known_charset(charset)
        self._keywords: list[str] = []
        self.uses_modseq = False
        self._count = 0

    def program(self, arguments: Arguments) -> Key:
        """All keys of a search. Raises Bad, and No [BADCHARSET], which a fault before the first text goes before."""
        key = self.read_all(arguments)
        self._require_charset()
        self.view.mention(self._keywords)
        return key

    def _require_charset(self) -> None:
        if not self._readable:
            raise No("Unknown charset", "BADCHARSET")

    def read_all(self, arguments: Arguments) -> Key:
        """All keys that are left, joined by AND. Raises Bad."""
        keys: list[Key] = []
        while arguments.more():
            keys.append(self.read(arguments))
        if not keys:
            raise Bad("Missing search parameters")
        return _all_of(keys)

    def read(self, arguments: Arguments) -> Key:
        """One key with its arguments."""
        self._count += 1
        if self._count > MAX_KEYS:
            raise Bad("Too many search keys")
        if arguments.is_group():
            return self.read_all(arguments.group())
        if not arguments.more():
            raise Bad("Missing parameter for argument")
        item = arguments.take()
        if not isinstance(item, Atom):
            raise Bad("Unexpected string as search key")
        word = item.decode("ascii").upper()
        if word[0] in "0123456789*$":
            return self._numbers(bytes(item))
        method = getattr(self, "_key_" + word.lower(), None)
        if method is not None:
            key: Key = method(arguments)
            return key
        return self._simple(word, arguments)

    def _simple(self, word: str, arguments: Arguments) -> Key:
        negated = word.removeprefix("UN")
        if word in _FLAGS or (word != negated and negated in _FLAGS):
            return _flag(_FLAGS[negated], wanted=word == negated)
        if word in _ADDRESS_KEYS or word == "SUBJECT":
            return self._header(word.lower().encode(), self._text(arguments))
        if word == "X-GUID":
            guid = self._argument(arguments).decode("latin-1")
            return Key(FILE, lambda content: content.message.guid == guid)
        if word == "X-MAILBOX":
            return self._mailbox(self._argument(arguments))
        if word == "X-REAL-UID":  # that of UID, where no mailbox is made of others
            return self._uids(SequenceSet.parse(self._argument(arguments), "Invalid X-REAL-UID messageset"))
        for prefix, kind in (("SENT", _sent), ("X-SAVED", _saved), ("SAVED", _saved), ("", _received)):
            name = word.removeprefix(prefix)
            if word.startswith(prefix) and name in _COMPARE:
                day = read_date(self._argument(arguments))
                if day is None:
                    raise Bad("Invalid search date parameter")
                return kind(_COMPARE[name], day)
        raise Bad(f"Unknown argument {word}")

    @staticmethod
    def _argument(arguments: Arguments) -> bytes:
        if not arguments.more():
            raise Bad("Missing parameter for argument")
        if arguments.is_group():
            raise Bad("Invalid parameter for argument")
        return arguments.astring()

    def _mailbox(self, wire: bytes) -> Key:
        name = self.view.mailbox.name
        own = wire.upper() == b"INBOX" if name.upper() == "INBOX" else wire in (name.encode(), mutf7.encode(name))
        return Key(INDEX, lambda content: own)

    def _text(self, arguments: Arguments) -> str:
        octets = self._argument(arguments)
        self._require_charset()
        try:
            return fold(octets.decode(self._charset))
        except UnicodeError:
            raise ParseError("Invalid search key") from None

    def _numbers(self, text: bytes) -> Key:
        if text == b"$":
            saved = frozenset(self.view.saved)
            return Key(INDEX, lambda content: content.message.uid in saved)
        ranges = SequenceSet.parse(text).limited(len(self.view))  # numbers that are not there match nothing
        return Key(INDEX, lambda content: any(first <= content.number <= last for first, last in ranges))

    def _header(self, name: bytes, wanted: str) -> Key:
        write = address_texts if name in _ADDRESS_FIELDS else header_texts_of

        def test(content: Content) -> bool:
            found = content.header_fields.get(name, ())
            return any(wanted in text for field in found for text in write(unfold(content.header, field)))

        return Key(HEADER, test)

    # One method per key that is a name of its own

    def _key_all(self, arguments: Arguments) -> Key:
        return Key(INDEX, lambda content: True)

    def _key_fuzzy(self, arguments: Arguments) -> Key:
        return self.read(arguments)  # RFC 6203 leaves it to the server how fuzzy a match may be

    def _key_new(self, arguments: Arguments) -> Key:
        return Key(INDEX, lambda content: content.message.recent and "\\Seen" not in content.message.flags)

    def _key_savedatesupported(self, arguments: Arguments) -> Key:
        return Key(INDEX, lambda content: True)  # RFC 8514 section 4.3

    def _key_old(self, arguments: Arguments) -> Key:
        return Key(INDEX, lambda content: not content.message.recent)

    def _key_recent(self, arguments: Arguments) -> Key:
        return Key(INDEX, lambda content: content.message.recent)

    def _key_keyword(self, arguments: Arguments) -> Key:
        return self._keyword(arguments, wanted=True)

    def _key_unkeyword(self, arguments: Arguments) -> Key:
        return self._keyword(arguments, wanted=False)

    def _keyword(self, arguments: Arguments, *, wanted: bool) -> Key:
        text = self._argument(arguments)
        if is_keyword(text):
            self._keywords.append(text.decode("ascii"))
        name = text.decode("latin-1").lower()

        def test(content: Content) -> bool:
            return any(flag.lower() == name and flag[0] != "\\" for flag in content.message.flags) is wanted

        return Key(INDEX, test)

    def _key_uid(self, arguments: Arguments) -> Key:
        text = self._argument(arguments)
        if text == b"$":
            return self._numbers(text)
        return self._uids(SequenceSet.parse(text, "Invalid UID messageset"))

    def _uids(self, wanted: SequenceSet) -> Key:
        uids = self.view.uids
        ranges = wanted.resolved(uids[-1] if uids else 0)
        return Key(INDEX, lambda content: any(a <= content.message.uid <= b for a, b in ranges))

    def _key_not(self, arguments: Arguments) -> Key:
        key = self.read(arguments)
        return Key(key.cost, lambda content: not key.test(content))

    def _key_or(self, arguments: Arguments) -> Key:
        one, other = sorted((self.read(arguments), self.read(arguments)), key=lambda key: key.cost)
        return Key(other.cost, lambda content: one.test(content) or other.test(content))

    def _key_header(self, arguments: Arguments) -> Key:
        name = self._argument(arguments).lower()
        return self._header(name, self._text(arguments))

    def _key_body(self, arguments: Arguments) -> Key:
        wanted = self._text(arguments)
        if not wanted:
            return self._key_all(arguments)
        return Key(BODY, lambda content: any(wanted in text for text in body_texts(content.data, content.part)))

    def _key_text(self, arguments: Arguments) -> Key:
        wanted = self._text(arguments)

        def test(content: Content) -> bool:
            return any(wanted in text for text in all_header_texts(content.data, content.part)) or any(
                wanted in text for text in body_texts(content.data, content.part)
            )

        return Key(BODY, test)

    def _key_emailid(self, arguments: Arguments) -> Key:
        wanted = self._objectid("EMAILID", arguments)
        return Key(FILE, lambda content: email_id(content.message) == wanted)

    def _key_threadid(self, arguments: Arguments) -> Key:
        self._objectid("THREADID", arguments)
        return Key(INDEX, lambda content: False)  # no message has one (RFC 8474 section 5.2)

    def _objectid(self, word: str, arguments: Arguments) -> bytes:
        if not self.view.extensions:
            raise Bad(f"Unknown argument {word}")
        return self._argument(arguments)

    def _key_larger(self, arguments: Arguments) -> Key:
        size = arguments.number(MAX_SIZE)
        return Key(FILE, lambda content: content.message.size > size)

    def _key_smaller(self, arguments: Arguments) -> Key:
        size = arguments.number(MAX_SIZE)
        return Key(FILE, lambda content: content.message.size < size)

    def _key_older(self, arguments: Arguments) -> Key:
        moment = time.time() - self._interval(arguments)
        return Key(FILE, lambda content: content.message.internal_date <= moment)

    def _key_younger(self, arguments: Arguments) -> Key:
        moment = time.time() - self._interval(arguments)
        return Key(FILE, lambda content: content.message.internal_date >= moment)

    @staticmethod
    def _interval(arguments: Arguments) -> int:
        interval = arguments.number()
        if not interval:
            raise Bad("Invalid search interval parameter")
        return interval

    def _key_modseq(self, arguments: Arguments) -> Key:
        if not isinstance(arguments.peek(), Atom):  # an entry name and type, which change nothing here
            arguments.astring()
            if arguments.word() not in ("PRIV", "SHARED", "ALL"):
                raise Bad(INVALID)
        value = arguments.number()
        self.uses_modseq = True
        return Key(INDEX, lambda content: content.message.modseq >= value)


def _all_of(keys: list[Key]) -> Key:
    if len(keys) == 1:
        return keys[0]
    keys = sorted(keys, key=lambda key: key.cost)  # what the index knows is asked before what must be read
    cheap = [key for key in keys if key.cost < HEADER]
    return Key(
        keys[-1].cost,
        lambda content: all(key.test(content) for key in keys),
        cheap=(lambda content: all(key.test(content) for key in cheap)) if cheap else None,
    )


def _flag(flag: str, *, wanted: bool) -> Key:
    return Key(INDEX, lambda content: (flag in content.message.flags) is wanted)


def _received(compare: Callable[[date, date], bool], day: date) -> Key:
    return Key(FILE, lambda content: compare(utc_date(content.message.internal_date), day))


def _saved(compare: Callable[[date, date], bool], day: date) -> Key:
    def test(content: Content) -> bool:
        return compare(utc_date(content.save_date), day)

    return Key(FILE, test)


def _sent(compare: Callable[[date, date], bool], day: date) -> Key:
    def test(content: Content) -> bool:
        found = content.header_fields.get(b"date")
        read = mail_date.read(unfold(content.header, found[0])) if found else None
        return compare((read[0] + read[1]).date() if read is not None else _NO_DATE, day)

    return Key(HEADER, test)


__all__ = ["BODY", "FILE", "HEADER", "INDEX", "Group", "Key", "KeyReader"]
