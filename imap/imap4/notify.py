"""NOTIFY (RFC 5465): which events of which mailboxes a client wants to be told without asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from imap.imap4.arguments import Argument, Arguments, Group
from imap.imap4.commands.names import mailbox_name
from imap.imap4.content import Content
from imap.imap4.errors import INVALID, Bad, No
from imap.imap4.fetch import Items
from imap.imap4.view import View
from imap.store import Expunged, MailboxInfo

_MESSAGE_EVENTS = {"MESSAGENEW": "MessageNew", "MESSAGEEXPUNGE": "MessageExpunge", "FLAGCHANGE": "FlagChange"}
_MAILBOX_EVENTS = {"MAILBOXNAME": "MailboxName", "SUBSCRIPTIONCHANGE": "SubscriptionChange"}
_UNSUPPORTED = {
    "ANNOTATIONCHANGE": "AnnotationChange",
    "MAILBOXMETADATACHANGE": "MailboxMetadataChange",
    "SERVERMETADATACHANGE": "ServerMetadataChange",
}
# More names and groups than this in one NOTIFY are refused.
MAX_NAMES = 1000

_SELECTED = ("SELECTED", "SELECTED-DELAYED")
_CLASSES = ("INBOXES", "PERSONAL", "SUBSCRIBED")
_NAMED = ("SUBTREE", "MAILBOXES")


@dataclass(frozen=True, slots=True)
class EventGroup:
    """``(mailboxes events)``: which mailboxes, and what is told of them."""

    filter: str
    names: tuple[str, ...] = ()
    events: frozenset[str] = frozenset()
    items: tuple[Argument, ...] = ()  # what FETCH tells of a new message in the selected mailbox

    def covers(self, info: MailboxInfo, separator: str) -> bool:
        """Whether the group is about this mailbox."""
        if self.filter == "SUBSCRIBED":
            return info.subscribed
        if self.filter == "SUBTREE":
            return any(info.name == name or info.name.startswith(name + separator) for name in self.names)
        if self.filter == "MAILBOXES":
            return info.name in self.names
        return self.filter in ("INBOXES", "PERSONAL")  # every mailbox of ours is the user's own and takes deliveries


@dataclass(frozen=True, slots=True)
class Notify:
    """A NOTIFY SET that is in force."""

    groups: tuple[EventGroup, ...] = ()
    status: bool = False
    selected: EventGroup | None = None

    @property
    def uses_modseq(self) -> bool:
        """Whether HIGHESTMODSEQ is told, which turns CONDSTORE on."""
        groups = (*self.groups, self.selected) if self.selected is not None else self.groups
        return any("FLAGCHANGE" in group.events for group in groups)

    @property
    def watches_others(self) -> bool:
        """Whether mailboxes that are not selected, or the list of mailboxes, are to be looked at."""
        return any(group.events for group in self.groups)

    def events(self, info: MailboxInfo, separator: str) -> frozenset[str]:
        """What is told of a mailbox: the first group about it counts (RFC 5465 section 6)."""
        for group in self.groups:
            if group.covers(info, separator):
                return group.events
        return frozenset()


@dataclass(slots=True)
class _Reader:
    """Reads the event groups of one command."""

    utf8: bool  # how mailbox names are written
    groups: list[EventGroup] = field(default_factory=list)
    selected: EventGroup | None = None
    unsupported: list[str] = field(default_factory=list)
    names: int = 0

    def group(self, arguments: Arguments) -> None:
        """One parenthesized group. Raises Bad."""
        kind = arguments.word()
        names: tuple[str, ...] = ()
        if kind in _NAMED:
            names = self._mailboxes(arguments)
        elif kind not in (*_SELECTED, *_CLASSES):
            raise Bad(INVALID)
        events, items = self._events(arguments, selected=kind in _SELECTED)
        arguments.end()
        group = EventGroup(kind, names, events, items)
        if kind not in _SELECTED:
            self.groups.append(group)
        elif self.selected is not None:
            raise Bad("Duplicate selected event group.")
        else:
            self.selected = group

    def _mailboxes(self, arguments: Arguments) -> tuple[str, ...]:
        wires: Sequence[Argument] = arguments.group().rest() if arguments.is_group() else [arguments.take()]
        self.names += len(wires)
        if self.names > MAX_NAMES or not wires or any(isinstance(wire, Group) for wire in wires):
            raise Bad(INVALID)
        return tuple(mailbox_name(bytes(wire), self.utf8) for wire in wires if not isinstance(wire, Group))

    def _events(self, arguments: Arguments, *, selected: bool) -> tuple[frozenset[str], tuple[Argument, ...]]:
        if not arguments.is_group():
            if arguments.word() != "NONE":
                raise Bad(INVALID)
            return frozenset(), ()
        words = arguments.group()
        if not words.more():
            raise Bad(INVALID)
        events: set[str] = set()
        items: tuple[Argument, ...] = ()
        while words.more():
            word = words.word()
            if word in _UNSUPPORTED:
                self.unsupported.append(_UNSUPPORTED[word])
            elif word in _MESSAGE_EVENTS or word in _MAILBOX_EVENTS:
                events.add(word)
            else:
                raise Bad(INVALID)
            if word == "MESSAGENEW" and words.is_group():
                if not selected:
                    raise Bad(INVALID)  # fetch items are for the selected mailbox (RFC 5465 section 5.2)
                items = tuple(words.group().rest())
        if ("MESSAGENEW" in events) is not ("MESSAGEEXPUNGE" in events):
            raise Bad("MessageNew and MessageExpunge must be together.")
        if "FLAGCHANGE" in events and "MESSAGENEW" not in events:
            raise Bad("FlagChange requires MessageNew and MessageExpunge.")
        return frozenset(events), items


def read(arguments: Arguments, utf8: bool) -> Notify | None:
    """Read what stands behind NOTIFY; None for NONE. Raises Bad, No [BADEVENT]."""
    word = arguments.word()
    if word == "NONE":
        return None
    if word != "SET":
        raise Bad(INVALID)
    status = not arguments.is_group() and arguments.more()
    if status and arguments.word() != "STATUS":
        raise Bad(INVALID)
    reader = _Reader(utf8)
    while arguments.more():
        reader.group(arguments.group())
    if reader.selected is not None and reader.selected.items:
        # Refused now, not when the first mail comes; nothing is written with these.
        Items(lambda message: b"").read(Arguments([Group(reader.selected.items)]))
    if reader.unsupported:
        raise No("Unsupported NOTIFY events", f"BADEVENT {' '.join(dict.fromkeys(reader.unsupported))}")
    return Notify(tuple(reader.groups), status, reader.selected)


def describe_new(view: View, group: EventGroup, uids: Sequence[int]) -> bytes:
    """The FETCH responses for new messages that a selected group asks for."""
    if not group.items:
        return b""
    items = Items(view.flags)
    items.read(Arguments([Group(group.items)]))
    out: list[bytes] = []
    for uid in uids:
        message, number = view.mailbox.messages.get(uid), view.number(uid)
        if message is None or not number:
            continue
        try:
            content = Content(view.mailbox, message, number)
            values = [v if isinstance(v, bytes) else v.read(content) for v in items.render(content, {}, {})]
            out.append(b"* %d FETCH (%b)\r\n" % (number, b" ".join(values)))
        except Expunged:
            continue
    return b"".join(out)
