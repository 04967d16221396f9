"""GETMETADATA and SETMETADATA (RFC 5464), where imap_metadata is on; words and limits are Dovecot's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from imap.imap4.arguments import Argument, Arguments, Atom, Group
from imap.imap4.commands.base import Command, Reply
from imap.imap4.commands.names import mailbox_name, wire_name
from imap.imap4.errors import INVALID, Bad, No
from imap.imap4.syntax import astring, literal
from imap.store import NO_PLACE, NonExistent, NotPossible, NotSelectable, UserStore

if TYPE_CHECKING:
    from imap.imap4.session import Session

# Octets of one value. Dovecot takes any number, so that one user can fill the disk.
MAX_VALUE = 1 << 20

_INTERNAL = "vendor/vendor.dovecot/pvt/"
# Where Dovecot keeps the entries of the server: with INBOX.
_SERVER = _INTERNAL + "server/"
_SPECIAL_USE = "/private/specialuse"
_FOREVER = 1 << 30


def _entry(item: Argument) -> str:
    """An entry's name in lower case, checked. Raises Bad."""
    if isinstance(item, Group):
        raise Bad("Entry isn't astring")
    name = item.decode("latin-1")
    if not name.startswith("/"):
        raise Bad("Entry name must begin with '/'")
    if name.endswith("/"):
        raise Bad("Entry name can't end with '/'")
    if "//" in name:
        raise Bad("Entry name can't contain consecutive '/'")
    for wildcard in "*%":
        if wildcard in name:
            raise Bad(f"Entry name can't contain '{wildcard}'")
    if any(not " " <= char <= "\x7e" for char in name):
        raise Bad("Entry name can't contain control chars")
    name = name.lower()
    if not f"{name}/".startswith(("/private/", "/shared/")):
        raise Bad("Entry name must begin with /private or /shared")
    return name


class Entries:
    """The entries of one mailbox, or of the server, as a client may see and set them. Raises NonExistent."""

    def __init__(self, session: Session, mailbox: str) -> None:
        assert session.store is not None
        self.store: UserStore = session.store
        self.settings = session.settings
        self.mailbox = mailbox
        if not session.settings.metadata:
            raise NotPossible("Generic mailbox attributes not enabled")
        if mailbox:
            self.store.require(mailbox, "lr")
            if not self.store.exists(mailbox):
                raise NonExistent(mailbox)

    def read(self) -> dict[str, bytes]:
        """All of them."""
        kept = self.store.attributes(self.mailbox or "INBOX") if self.store.has_attributes else {}
        return dict(self._visible(kept)) | self._fixed()

    def has_place(self, name: str) -> bool:
        """Whether an entry is configured, or could be kept (mail_attribute_dict)."""
        return self.store.has_attributes or name in self._names_fixed()

    def _visible(self, kept: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for name, value in kept.items():
            _, scope, rest = f"{name}/".split("/", 2)
            rest = rest.removesuffix("/")
            if not self.mailbox and rest.startswith(_SERVER):
                yield f"/{scope}/{rest.removeprefix(_SERVER)}", value
            elif self.mailbox and not rest.startswith(_INTERNAL):
                yield name, value

    def _names_fixed(self) -> tuple[str, ...]:
        return (_SPECIAL_USE,) if self.mailbox else ("/shared/comment", "/shared/admin")

    def _fixed(self) -> dict[str, bytes]:
        """What the configuration says."""
        if not self.mailbox:
            told = {"/shared/comment": self.settings.server_comment, "/shared/admin": self.settings.server_admin}
            return {name: value.encode() for name, value in told.items() if value}
        use = " ".join(self.store.special_use(self.mailbox))
        return {_SPECIAL_USE: use.encode()} if use else {}

    def set(self, changes: Mapping[str, bytes | None]) -> None:
        """Set entries, None removes. Raises NotPossible, LimitExceeded."""
        inner = {self._inner(name): value for name, value in changes.items()}
        if inner:
            self.store.set_attributes(self.mailbox or "INBOX", inner)

    def _inner(self, name: str) -> str:
        _, scope, rest = f"{name}/".split("/", 2)
        rest = rest.removesuffix("/")
        inner = name if self.mailbox else f"/{scope}/{_SERVER}{rest}"
        if name in self._names_fixed():
            raise NotPossible(f"The {inner} attribute cannot be changed")
        if self.mailbox and rest.startswith(_INTERNAL):
            raise NotPossible("Internal mailbox attributes cannot be accessed")
        return inner


def _open(session: Session, wire: bytes) -> Entries:
    try:
        return Entries(session, mailbox_name(wire, session.utf8))
    except (NonExistent, NotSelectable) as error:
        raise No(error.text) from error


class GetMetadata(Command):
    """GETMETADATA [(MAXSIZE n DEPTH 0|1|infinity)] mailbox entry|(entries)."""

    name = "GETMETADATA"
    max_size = _FOREVER
    depth = 0

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if arguments.is_group():
            self._options(arguments.group())
        wire, names = self._names(arguments)
        entries = _open(session, wire)
        found = entries.read()
        told: list[bytes] = []
        longest = 0
        for name in self._wanted(names, found):
            value = found.get(name)
            if not entries.has_place(name):
                continue
            if value is not None and len(value) > self.max_size:
                longest = max(longest, len(value))
                continue
            told.append(astring(name.encode("latin-1")) + b" " + (b"NIL" if value is None else literal(value)))
        if told:
            label = wire_name(_proper(entries.mailbox), session.utf8) if entries.mailbox else b'""'
            session.write(b"* METADATA %b (%b)\r\n" % (label, b" ".join(told)))
        if not self.depth and not all(map(entries.has_place, names)):
            raise NotPossible(NO_PLACE)
        return Reply("Getmetadata completed.", f"METADATA LONGENTRIES {longest}" if longest else None)

    @staticmethod
    def _names(arguments: Arguments) -> tuple[bytes, list[str]]:
        if not arguments.more() or arguments.is_group():
            raise Bad(INVALID)
        wire = arguments.astring()
        if not arguments.more():
            raise Bad(INVALID)
        items = arguments.group().rest() if arguments.is_group() else [arguments.take()]
        names = [_entry(item) for item in items]
        arguments.end()
        return wire, names

    def _options(self, options: Arguments) -> None:
        while options.more():
            word = options.word()
            value = options.astring() if options.more() else b""
            if word == "MAXSIZE":
                if not value.isdigit() or len(value) > 10:
                    raise Bad("Invalid value for MAXSIZE option")
                self.max_size = int(value)
            elif word == "DEPTH":
                depths = {b"0": 0, b"1": 1, b"infinity": _FOREVER}
                if value.lower() not in depths:
                    raise Bad("Invalid value for DEPTH option")
                self.depth = depths[value.lower()]
            else:
                raise Bad("Unknown option")

    def _wanted(self, names: Sequence[str], found: Mapping[str, bytes]) -> Iterator[str]:
        """The entries to tell: those named, or what there is of them and below."""
        for name in names:
            if not self.depth:
                yield name
                continue
            for each in found:
                below = each.removeprefix(name + "/") if each.startswith(name + "/") else ""
                if each == name or (below and below.count("/") < self.depth):
                    yield each


class SetMetadata(Command):
    """SETMETADATA mailbox (entry value ...); NIL removes an entry."""

    name = "SETMETADATA"

    def literal_limit(self, session: Session, pieces: Sequence[bytes], offset: int) -> int:
        return MAX_VALUE if session.logged_in else 0

    def too_big(self) -> No:
        return No("Value is too big.", f"METADATA MAXSIZE {MAX_VALUE}")

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if not arguments.more() or arguments.is_group():
            raise Bad(INVALID)
        wire = arguments.astring()
        if not arguments.is_group():
            raise Bad(INVALID)
        items = arguments.group()
        arguments.end()
        entries = _open(session, wire)
        changes: dict[str, bytes | None] = {}
        while items.more():
            name = _entry(items.take())
            if not items.more():
                raise Bad("Entry value missing")
            value = items.take()
            if isinstance(value, Group):
                raise Bad("Entry value can't be a list")
            changes[name] = None if isinstance(value, Atom) and value.upper() == b"NIL" else bytes(value)
        entries.set(changes)
        return Reply("Setmetadata completed.")


def _proper(name: str) -> str:
    return "INBOX" if name.upper() == "INBOX" else name
