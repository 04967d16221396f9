"""The data items of FETCH: how each is written for one message (RFC 3501 section 6.4.5 and its extensions)."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from imap.imap4.arguments import Arguments, Atom, Group
from imap.imap4.binary import body_writer, is_binary_section, size_writer
from imap.imap4.commands.names import wire_name
from imap.imap4.content import HEAVY, Content
from imap.imap4.dates import write_date_time
from imap.imap4.errors import Bad
from imap.imap4.objectid import email_id
from imap.imap4.preview import preview
from imap.imap4.syntax import literal, nstring, string
from imap.mime import Section, SectionError, body, envelope
from imap.store import Expunged, Message, Outgoing

# Items that a client may ask for in one FETCH; a message is looked at once for each.
MAX_ITEMS = 256

# A message bigger than this is not read as a whole where it need not be.
BIG = 1 << 20

# What Dovecot tells of a message that is no longer there.
_NO_ENVELOPE = b"(" + b" ".join([b"NIL"] * 10) + b")"
_NO_BODY = b'("text" "plain" NIL NIL NIL "7bit" 0 0'

_MACROS = {
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
_PARTIAL = re.compile(rb"<([0-9]{1,19})(?:\.([0-9]{1,19}))?>")

Write = Callable[[Content], bytes]
Known = Callable[[Message], bytes | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One item: what it writes, whether it sets \\Seen, and under which key the store may keep its value.

    ``reads`` tells which octets of the message alone make the value; an item with none looks at the mailbox too.
    ``whole`` writes the message, or all behind its header, in pieces.
    ``known`` tells the value from what a message has in memory, None where that is not enough; it may take the place
    of ``write``. ``gone`` stands for the value of a message that was expunged, whole, as RFC 2180 section 4.1.2 has it.
    """

    write: Write
    sets_seen: bool = False
    cache_key: str | None = None
    reads: Literal["", "header", "data"] = ""
    gone: bytes = b""
    known: Known | None = None
    whole: Whole | None = None

    def is_told_in_pieces(self, content: Content) -> bool:
        """Whether :attr:`whole` writes it."""
        try:
            return self.whole is not None and content.message.size > BIG
        except Expunged:
            return False


@dataclass(frozen=True, slots=True)
class Whole:
    """BODY[], BODY[TEXT] and their like, of which a big message is told in pieces: ``label {size}`` and the octets."""

    label: bytes
    start: int
    count: int | None
    text: bool  # TEXT: all behind the header

    def open(self, content: Content) -> tuple[Outgoing, int, int | None]:
        """The message, and which octets of it are told. Raises Expunged; the caller closes it."""
        start = self.start + (len(content.header) if self.text else 0)
        return content.mailbox.outgoing(content.message.uid), start, self.count

    def read(self, content: Content) -> bytes:
        """All of it at once. Raises Expunged."""
        opened, start, count = self.open(content)
        with contextlib.closing(opened):
            octets = b"".join(opened.pieces(start, count))
        return self.label + b" " + literal(octets.replace(b"\0", b"\x80"))


class Items:
    """The items of one FETCH command, in the order asked for, each once."""

    def __init__(self, flags: Callable[[Message], bytes], *, extensions: bool = False) -> None:
        self._flags = flags  # writes the FLAGS list of a message, as the session sees it
        self._extensions = extensions  # whether there are items that Dovecot does not know
        self._items: dict[str, Item] = {}
        self.wants_flags = False
        self.wants_modseq = False

    def read(self, arguments: Arguments) -> None:
        """Read a macro, one item or a list of items. Raises Bad."""
        if arguments.is_group():
            group = arguments.group()
            if not group.more():
                raise Bad("FETCH list is empty.")
            while group.more():
                self._read_one(group)
            return
        first = arguments.peek()
        if isinstance(first, Atom) and (macro := first.upper().decode("ascii")) in _MACROS:
            arguments.take()
            for name in _MACROS[macro]:
                self._read_one(Arguments([Atom(name.encode())]))
            return
        self._read_one(arguments)

    def add(self, name: str) -> None:
        """Add an item by name (UID of UID FETCH, MODSEQ of CHANGEDSINCE)."""
        self._read_one(Arguments([Atom(name.encode())]))

    @property
    def sets_seen(self) -> bool:
        """Whether fetching marks the messages as seen."""
        return any(item.sets_seen for item in self._items.values())

    @property
    def wants_uid(self) -> bool:
        """Whether UID is among them."""
        return "UID" in self._items

    @property
    def cache_keys(self) -> list[str]:
        """The keys of cached values that are asked for."""
        return [item.cache_key for item in self._items.values() if item.cache_key is not None]

    def known(self, messages: list[Message], cached: Mapping[str, Mapping[int, bytes]]) -> list[bytes] | None:
        """The items of each message where all of them are in memory or cached; else None, and nothing is read."""
        columns: list[list[bytes]] = []
        for name, item in self._items.items():
            if item.cache_key is not None:
                values = cached[item.cache_key]
                if len(values) < len(messages):
                    return None
                label = name.encode() + b" "
                columns.append([label + values[message.uid] for message in messages])
                continue
            column = [] if item.known is None else list(map(item.known, messages))
            if not column or None in column:
                return None
            columns.append(cast("list[bytes]", column))
        return columns[0] if len(columns) == 1 else list(map(b" ".join, zip(*columns, strict=True)))

    async def prepare(self, content: Content, cached: dict[str, bytes]) -> dict[str, bytes]:
        """For :meth:`render`: what a heavy message would block the loop with, written in a thread."""
        items = {
            name: item
            for name, item in self._items.items()
            if item.reads and (item.cache_key or "") not in cached and not item.is_told_in_pieces(content)
        }
        try:
            if not items or content.message.size <= HEAVY:
                return {}
            # The mailbox is asked here; the thread sees only octets.
            _ = content.data if any(item.reads == "data" for item in items.values()) else content.header
        except Expunged:
            return {}
        return await asyncio.to_thread(lambda: {name: item.write(content) for name, item in items.items()})

    def render(self, content: Content, cached: dict[str, bytes], prepared: Mapping[str, bytes]) -> list[bytes | Whole]:
        """The items of one message; fills ``cached`` with values worth keeping.

        Sets ``content.expunged`` where a value could not be had any more and ``Item.gone`` stands for it.
        """
        pieces: list[bytes | Whole] = []
        for name, item in self._items.items():
            if item.is_told_in_pieces(content) and item.whole is not None:
                pieces.append(item.whole)
                continue
            key = item.cache_key
            value = cached.get(key) if key is not None else None
            if value is None:
                try:
                    value = prepared[name] if name in prepared else item.write(content)
                except Expunged:
                    content.expunged = True
                    value = item.gone
                else:
                    if key is not None:
                        cached[key] = value
            if value:
                pieces.append(value if key is None else name.encode() + b" " + value)
        return pieces

    def _read_one(self, arguments: Arguments) -> None:
        text = arguments.atom()
        if len(self._items) >= MAX_ITEMS:
            raise Bad("Too many FETCH items")
        upper = text.upper()
        for prefix, sets_seen in ((b"BODY[", True), (b"BODY.PEEK[", False)):
            if upper.startswith(prefix):
                self._section(text[len(prefix) :], arguments, sets_seen=sets_seen)
                return
        for prefix, sets_seen in ((b"BINARY[", True), (b"BINARY.PEEK[", False), (b"BINARY.SIZE[", False)):
            if upper.startswith(prefix):
                self._binary(text[len(prefix) :], sets_seen=sets_seen, size=prefix == b"BINARY.SIZE[")
                return
        name = upper.decode("ascii")
        if name in ("PREVIEW", "SNIPPET"):
            self._preview(name, arguments)
            return
        item = self._plain(name)
        if item is None:
            raise Bad(f"Unknown parameter: {name}")
        self._items.setdefault(name, item)

    def _plain(self, name: str) -> Item | None:
        if name == "FLAGS":
            self.wants_flags = True
            return _memory_item(lambda message: b"FLAGS " + self._flags(message))
        if name == "UID":
            return _memory_item(lambda message: b"UID %d" % message.uid)
        if name == "INTERNALDATE":
            return _measured_item(
                lambda message: b'INTERNALDATE "%b"' % write_date_time(message.internal_date),
                gone=b'INTERNALDATE "%b"' % write_date_time(0),
            )
        if name == "RFC822.SIZE":
            return _measured_item(lambda message: b"RFC822.SIZE %d" % message.size, gone=b"RFC822.SIZE 0")
        if name == "MODSEQ":
            self.wants_modseq = True
            return _memory_item(lambda message: b"MODSEQ (%d)" % message.modseq)
        if name in ("SAVEDATE", "X-SAVEDATE"):
            label = name.encode() + b' "'
            return Item(lambda content: label + write_date_time(content.save_date) + b'"')
        if name == "X-MAILBOX":
            return Item(lambda content: b"X-MAILBOX " + wire_name(content.mailbox.name, utf8=False))
        if name == "X-REAL-UID":
            return Item(lambda content: b"X-REAL-UID %d" % content.message.uid)
        if name == "X-GUID":
            return Item(lambda content: b"X-GUID " + string(content.message.guid.encode()))
        if self._extensions and name == "EMAILID":
            return Item(lambda content: b"EMAILID (%b)" % email_id(content.message))
        if self._extensions and name == "THREADID":
            return Item(lambda content: b"THREADID NIL")  # RFC 8474 section 5.2: threads are not kept
        if name == "ENVELOPE":
            return Item(
                lambda content: envelope(content.header_part, content.header),
                cache_key="envelope",
                reads="header",
                gone=_NO_ENVELOPE,
            )
        if name in ("BODY", "BODYSTRUCTURE"):
            extended = name == "BODYSTRUCTURE"
            return Item(
                lambda content: body(content.part, content.data, extended=extended),
                cache_key=name.lower(),
                reads="data",
                gone=_NO_BODY + (b" NIL NIL NIL NIL)" if extended else b")"),
            )
        if name == "RFC822":
            return _section_item(b"RFC822", Section.parse(b""), None, sets_seen=True)
        if name == "RFC822.HEADER":
            return _section_item(b"RFC822.HEADER", Section.parse(b"HEADER"), None, sets_seen=False)
        if name == "RFC822.TEXT":
            return _section_item(b"RFC822.TEXT", Section.parse(b"TEXT"), None, sets_seen=True)
        return None

    def _section(self, text: bytes, arguments: Arguments, *, sets_seen: bool) -> None:
        """The rest of ``BODY[`` up to its partial; the list of header names is a list among the arguments."""
        names: list[bytes] = []
        inside, bracket, after = text.partition(b"]")
        if not bracket:
            if not arguments.is_group():
                raise Bad("Invalid BODY[..] parameter: Missing ']'")
            names = [bytes(name) for name in arguments.group().rest() if not isinstance(name, Group)]
            closing = arguments.atom() if isinstance(arguments.peek(), Atom) else b""
            if not closing.startswith(b"]"):
                raise Bad("Invalid BODY[..] parameter: Missing ']'")
            after = closing[1:]
        partial = _partial(after)
        try:
            section = Section.parse(inside, names)
        except SectionError as error:
            raise Bad(str(error)) from error
        label = b"BODY[" + inside.upper()
        if names:
            label += b" (" + b" ".join(map(_header_name, names)) + b")"
        label += b"]" if partial is None else b"]<%d>" % partial[0]
        # A section asked for twice is answered twice, as Dovecot does; other items come once.
        self._items[f"{label!r}{len(self._items)}"] = _section_item(label, section, partial, sets_seen=sets_seen)

    def _preview(self, name: str, arguments: Arguments) -> None:
        """PREVIEW [(LAZY)] (RFC 8970): LAZY takes only what is already known."""
        lazy = False
        if arguments.is_group():
            options = arguments.group()
            if options.word() not in ("LAZY", "FUZZY", "LAZY=FUZZY"):
                raise Bad(f"Invalid {name} modifier")
            lazy = True

        def write(content: Content) -> bytes:
            text = nstring(preview(content.data, content.part))
            return text if name == "PREVIEW" else b"(FUZZY %b)" % text

        def write_known(content: Content) -> bytes:
            known = content.mailbox.cached(name, [content.message.uid]).get(content.message.uid)
            return name.encode() + b" " + (known or (b"NIL" if name == "PREVIEW" else b"(FUZZY NIL)"))

        self._items.setdefault(
            name, Item(write_known) if lazy else Item(write, cache_key=name, reads="data", gone=b"NIL")
        )

    def _binary(self, text: bytes, *, sets_seen: bool, size: bool) -> None:
        """The rest of ``BINARY[``, ``BINARY.PEEK[`` or ``BINARY.SIZE[``."""
        inside, bracket, after = text.partition(b"]")
        if not bracket or not is_binary_section(inside) or (size and after):
            raise Bad("Invalid BINARY[..] parameter")
        partial = _partial(after)
        section = Section.parse(inside)
        label = b"BINARY%b[%b]" % (b".SIZE" if size else b"", inside)
        if partial is not None:
            label += b"<%d>" % partial[0]
        write = size_writer(label, section) if size else body_writer(label, section, partial)
        gone = label + (b" 0" if size else b" NIL")
        self._items.setdefault(f"{label!r}{partial}", Item(write, sets_seen, reads="data", gone=gone))


def _partial(text: bytes) -> tuple[int, int | None] | None:
    """``<offset.count>`` behind a section; None where nothing stands. Raises Bad."""
    if not text:
        return None
    found = _PARTIAL.fullmatch(text)
    if found is None:
        unexpected = text.startswith(b"<") and b">" in text
        complaint = "Unexpected data after '>'" if unexpected else "Unexpected data after ']'"
        raise Bad(f"Invalid BODY[..] parameter: {complaint}")
    return int(found[1]), None if found[2] is None else int(found[2])


def _header_name(name: bytes) -> bytes:
    upper = name.upper()
    return upper if re.fullmatch(rb"[!-'+-\[\]-z|}~]+", upper) else string(upper)


def _memory_item(write: Callable[[Message], bytes]) -> Item:
    """An item that every message of an open mailbox has in memory."""
    return Item(lambda content: write(content.message), known=write)


def _measured_item(write: Callable[[Message], bytes], gone: bytes) -> Item:
    """An item that is in memory once the message was measured."""
    return Item(
        lambda content: write(content.message),
        gone=gone,
        known=lambda message: write(message) if message.is_measured else None,
    )


def _section_item(label: bytes, section: Section, partial: tuple[int, int | None] | None, *, sets_seen: bool) -> Item:
    def write(content: Content) -> bytes:
        if section.header_only:
            octets = section.resolve_header(content.header)
        elif section.is_whole:
            octets = section.whole(content.data)
        else:
            octets = section.resolve(content.part, content.data) or b""
        if partial is not None:
            start, count = partial
            octets = octets[start:] if count is None else octets[start : start + count]
        return label + b" " + literal(octets)

    whole = Whole(label, *(partial or (0, None)), section.kind == "TEXT") if section.is_whole else None
    return Item(write, sets_seen, reads="header" if section.header_only else "data", gone=label + b" NIL", whole=whole)
