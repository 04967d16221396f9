"""LIST, LSUB and XLIST, with LIST-EXTENDED (RFC 5258), LIST-STATUS (RFC 5819) and SPECIAL-USE (RFC 6154)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from imap.imap4.commands.base import Command, Reply
from imap.imap4.commands.mailbox import status_items, tell_status
from imap.imap4.commands.names import mailbox_name, quoted_name, raw_name
from imap.imap4.errors import INVALID, MISSING, Bad
from imap.imap4.pattern import Pattern, parents
from imap.imap4.syntax import string
from imap.store import InvalidName, MailboxInfo, NoPermission, StoreError

if TYPE_CHECKING:
    from imap.imap4.arguments import Arguments
    from imap.imap4.session import Session

_SELECTION = ("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE")
_RETURN = ("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS")


@dataclass(slots=True)
class Request:
    """What a LIST command asks for."""

    reference: str
    patterns: list[str]
    selection: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    status: list[str] = field(default_factory=list)
    extended: bool = False


def _options(group: Arguments, known: Iterable[str], what: str) -> set[str]:
    found: set[str] = set()
    while group.more():
        word = group.word()
        if word not in known:
            raise Bad(f"Unknown {what} options")
        found.add(word)
    return found


def _wire_text(value: bytes) -> str:
    return value.decode("latin-1")


class List(Command):
    """LIST [(selection)] reference pattern|(patterns) [RETURN (options)]."""

    name = "LIST"
    response: ClassVar[bytes] = b"LIST"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        request = self._read(session, arguments)
        if not request.extended and request.patterns == [""] and self.response == b"LIST":
            self._tell_root(session, request.reference)
        else:
            self._list(session, request)
        return Reply(f"{self.name.capitalize()} completed.")

    def _read(self, session: Session, arguments: Arguments) -> Request:
        selection: set[str] = set()
        extended = arguments.is_group()
        if extended:
            selection = _options(arguments.group(), _SELECTION, "select")
            if "RECURSIVEMATCH" in selection and not selection & {"SUBSCRIBED", "SPECIAL-USE"}:
                raise Bad("RECURSIVEMATCH must not be used without other selection options")
        reference = _wire_text(arguments.astring())
        if not arguments.more():
            raise Bad(MISSING)
        if arguments.is_group():
            extended = True
            group, patterns = arguments.group(), []
            while group.more():
                patterns.append(_wire_text(group.astring()))
        else:
            patterns = [_wire_text(arguments.astring())]
        request = Request(reference, patterns, selection, extended=extended)
        if arguments.more():
            self._return_options(session, arguments, request)
        if "SUBSCRIBED" in selection:
            request.wanted.add("SUBSCRIBED")
        if "SPECIAL-USE" in selection:
            request.wanted.add("SPECIAL-USE")
        if not request.extended:
            request.wanted |= {"CHILDREN", "SPECIAL-USE"}
        return request

    def _return_options(self, session: Session, arguments: Arguments, request: Request) -> None:
        if arguments.word() != "RETURN":
            raise Bad(INVALID)
        group = arguments.group()
        while group.more():
            word = group.word()
            if word not in _RETURN:
                raise Bad("Unknown return options")
            request.wanted.add(word)
            if word == "STATUS":
                request.status = status_items(group.group(), session)
        arguments.end()
        request.extended = True

    def _tell_root(self, session: Session, reference: str) -> None:
        """``LIST ref ""``: the separator, and the root of the reference."""
        assert session.store is not None
        separator = session.store.separator
        root, found, _ = reference.partition(separator)
        self._tell(session, ["\\Noselect"], separator, (root + found) if found else "")

    def _tell(self, session: Session, flags: list[str], separator: str, wire: str, extra: bytes = b"") -> None:
        text = b"* %b (%b) %b %b" % (
            self.response,
            " ".join(flags).encode(),
            string(separator.encode()),
            quoted_name(wire.encode("latin-1")) if wire else b'""',
        )
        session.write(text + extra + b"\r\n")

    def _list(self, session: Session, request: Request) -> None:
        assert session.store is not None
        store = session.store
        texts = [request.reference + pattern for pattern in request.patterns]
        infos = {_text_name(info.name, session.utf8): info for info in store.list_mailboxes(texts)}
        subscribed = {_text_name(name, session.utf8) for name in store.subscriptions(texts)}
        patterns = [Pattern(text, store.separator) for text in texts if _is_name(text, session.utf8)]
        names = dict.fromkeys(infos)
        if "SUBSCRIBED" in request.selection:
            names |= dict.fromkeys(sorted(subscribed))
        hidden = [name for name in subscribed if not any(pattern.matches(name) for pattern in patterns)]
        for wire in names:
            if not any(pattern.matches(wire) for pattern in patterns):
                continue
            info = infos.get(wire)
            childinfo = self._childinfo(wire, request, hidden, store.separator)
            if not self._selected(info, wire in subscribed, request) and not childinfo:
                continue
            if info is not None and info.hidden and _shows_below(wire, infos, patterns):
                continue
            flags = self._flags(info, request, is_subscribed=wire in subscribed)
            separator = info.separator if info is not None else store.separator
            extra = b' ("CHILDINFO" ("SUBSCRIBED"))' if childinfo else b""
            self._tell(session, flags, separator, wire, extra)
            if request.status and info is not None and info.selectable:
                try:
                    tell_status(session, info.name, request.status)
                except NoPermission as error:
                    session.write(f"* NO [{error.code}] {error.text}\r\n".encode())
                except StoreError:
                    continue  # deleted meanwhile: LIST-STATUS leaves such mailboxes out

    @staticmethod
    def _childinfo(wire: str, request: Request, hidden: list[str], separator: str) -> bool:
        """RECURSIVEMATCH: whether a subscribed mailbox lies below that the patterns do not show themselves."""
        if not {"RECURSIVEMATCH", "SUBSCRIBED"} <= request.selection:
            return False
        return any(name.startswith(wire + separator) for name in hidden)

    @staticmethod
    def _selected(info: MailboxInfo | None, is_subscribed: bool, request: Request) -> bool:
        if "SUBSCRIBED" in request.selection and not is_subscribed:
            return False
        return not ("SPECIAL-USE" in request.selection and (info is None or not info.special_use))

    @staticmethod
    def _flags(info: MailboxInfo | None, request: Request, *, is_subscribed: bool) -> list[str]:
        flags: list[str] = []
        if "SUBSCRIBED" in request.wanted and is_subscribed:
            flags.append("\\Subscribed")
        if info is None or not info.selectable:
            flags.append("\\NonExistent" if request.extended else "\\Noselect")
        if info is not None:
            if "CHILDREN" in request.wanted:
                flags.append("\\HasChildren" if info.has_children else "\\HasNoChildren")
            if "SPECIAL-USE" in request.wanted:
                flags.extend(info.special_use)
        return flags


class Xlist(List):
    """XLIST, the predecessor of SPECIAL-USE."""

    name = "XLIST"


class Lsub(List):
    """LSUB: the subscribed names; with ``%``, their parents too, as \\NoSelect."""

    name = "LSUB"
    response = b"LSUB"

    def _read(self, session: Session, arguments: Arguments) -> Request:
        return Request(_wire_text(arguments.astring()), [_wire_text(arguments.astring())])

    def _list(self, session: Session, request: Request) -> None:
        assert session.store is not None
        store = session.store
        text = request.reference + request.patterns[0]
        if not _is_name(text, session.utf8):
            return
        pattern = Pattern(text, store.separator)
        subscribed = sorted(_text_name(name, session.utf8) for name in store.subscriptions([text]))
        uses = {_text_name(info.name, session.utf8): info.special_use for info in store.list_mailboxes([text])}
        shown: dict[str, list[str]] = {}
        for wire in subscribed:
            if pattern.matches(wire):
                shown[wire] = list(uses.get(wire, ()))
            elif "%" in pattern.text:
                for above in parents(wire, store.separator):
                    if pattern.matches(above):
                        shown.setdefault(above, ["\\NoSelect"])
        for wire in sorted(shown):
            flags = [flag for flag in shown[wire] if flag != "\\NoSelect" or wire not in subscribed]
            self._tell(session, flags, store.separator, wire)


def _shows_below(wire: str, infos: Mapping[str, MailboxInfo], patterns: Sequence[Pattern]) -> bool:
    """Whether the patterns show a mailbox below this one, which then need not be named for its sake."""
    below = wire + infos[wire].separator
    return any(
        name.startswith(below) and not info.hidden and any(pattern.matches(name) for pattern in patterns)
        for name, info in infos.items()
    )


def _is_name(text: str, utf8: bool) -> bool:
    """Whether a pattern is a name as names are written here: any other matches nothing."""
    try:
        mailbox_name(text.encode("latin-1"), utf8)
    except InvalidName:
        return False
    return True


def _text_name(name: str, utf8: bool) -> str:
    """A name as patterns are matched against it: a character for each octet on the wire."""
    return raw_name(name, utf8).decode("latin-1")
