"""MYRIGHTS, GETACL, SETACL, DELETEACL, LISTRIGHTS (RFC 4314), where the plugins acl and imap_acl are on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imap.imap4.arguments import Arguments
from imap.imap4.commands.base import Command, Reply
from imap.imap4.commands.names import mailbox_name
from imap.imap4.errors import INVALID, Bad
from imap.imap4.syntax import astring
from imap.store import UserStore
from imap.store.acl import RIGHTS, Identifier, by_name
from imap.store.types import StoreMode

if TYPE_CHECKING:
    from imap.imap4.session import Session

# The rights of RFC 2086 that were divided since.
_OLD = {"c": "kx", "d": "et"}

_MODES: dict[str, StoreMode] = {"+": "add", "-": "remove"}
_GROUP, _GROUP_OVERRIDE, _GLOBAL = "$", "!$", "#"


def _store(session: Session) -> UserStore:
    """The user's store; raises Bad where ACLs are not part of the configuration."""
    assert session.store is not None
    if not session.settings.acl or session.store.access is None:
        raise Bad("Unknown command")
    return session.store


def _name(wire: bytes) -> bytes:
    return astring(wire) if wire else b'""'


def _with_old(letters: str) -> str:
    """Letters with those of RFC 2086 behind them (RFC 4314 section 2.1.1)."""
    return letters + "".join(old for old, new in _OLD.items() if set(new) & set(letters))


@dataclass(frozen=True, slots=True)
class Named:
    """An identifier as a client writes it."""

    identifier: Identifier
    negative: bool

    @classmethod
    def read(cls, wire: bytes, *, anyone: bool) -> Named:
        """``anyone``: whether everybody may be named. Raises Bad."""
        text = wire.decode("utf-8", "surrogateescape")
        negative = text.startswith("-")
        text = text.removeprefix("-")
        if text.startswith(_GLOBAL):
            raise Bad(f"Global ACLs can't be modified: {text}")
        if text in ("anyone", "authenticated"):
            if not anyone:
                raise Bad(f"'{text}' identifier is disallowed")
            return cls(Identifier(text), negative)
        if text == "owner":
            return cls(Identifier("owner"), negative)
        for sign, kind in ((_GROUP_OVERRIDE, "group-override"), (_GROUP, "group")):
            if text.startswith(sign):
                return cls(Identifier(kind, text.removeprefix(sign)), negative)
        if any(char < " " for char in text):
            raise Bad(INVALID)
        return cls(Identifier("user", text), negative)


def _written(identifier: Identifier, *, is_global: bool) -> str:
    sign = {"group": _GROUP, "group-override": _GROUP_OVERRIDE}.get(identifier.kind, "")
    name = identifier.name if identifier.kind in ("user", "group", "group-override") else identifier.kind
    return (_GLOBAL if is_global else "") + sign + name


def _describe(identifier: Identifier, rights: frozenset[str] | None, sign: str, *, is_global: bool) -> bytes:
    if rights is None:
        return b""
    name = (sign + _written(identifier, is_global=is_global)).encode("utf-8", "surrogateescape")
    return b" %b %b" % (astring(name), _with_old(by_name(rights)).encode() or b'""')


class MyRights(Command):
    """MYRIGHTS mailbox."""

    name = "MYRIGHTS"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        store = _store(session)
        wire = arguments.astring()
        rights = store.told_rights(mailbox_name(wire, session.utf8)) if wire else frozenset(RIGHTS)
        letters = _with_old("".join(letter for letter in RIGHTS if letter in rights))
        session.write(b"* MYRIGHTS %b %b\r\n" % (_name(wire), letters.encode()))
        return Reply("Myrights completed.")


class GetAcl(Command):
    """GETACL mailbox: those who own it are shown by their name, unless the list has both."""

    name = "GETACL"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        store = _store(session)
        wire = arguments.astring()
        entries, is_mine = store.acl(mailbox_name(wire, session.utf8))
        me, owner = Identifier("user", store.username), Identifier("owner")
        mine = [entry for entry in entries if entry.identifier in (me, owner)]
        shown = me if len(mine) < 2 else owner
        text = b"".join(
            _describe(shown if entry.identifier == owner else entry.identifier, rights, sign, is_global=entry.is_global)
            for entry in entries
            for sign, rights in (("", entry.rights), ("-", entry.negative))
        )
        if is_mine and all(entry.rights is None for entry in mine):  # then the owner has all
            text += b" %b %b" % (
                astring(_written(shown, is_global=False).encode()),
                _with_old("".join(RIGHTS)).encode(),
            )
        session.write(b"* ACL %b%b\r\n" % (_name(wire), text))
        return Reply("Getacl completed.")


class SetAcl(Command):
    """SETACL mailbox identifier [+|-]rights."""

    name = "SETACL"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        store = _store(session)
        wire, whom = arguments.astring(), arguments.astring()
        text = arguments.astring().decode("latin-1")
        if not whom:
            raise Bad(INVALID)
        named = Named.read(whom, anyone=store.may_name_anyone)
        mode = _MODES.get(text[:1], "replace")
        letters = text if mode == "replace" else text[1:]
        rights: set[str] = set()
        for letter in letters:
            if letter not in RIGHTS and letter not in _OLD:
                raise Bad(f"Invalid ACL right: {letter}")
            rights.update(_OLD.get(letter, letter))
        store.set_acl(
            mailbox_name(wire, session.utf8), named.identifier, mode, frozenset(rights), negative=named.negative
        )
        return Reply("Setacl complete.")


class DeleteAcl(Command):
    """DELETEACL mailbox identifier."""

    name = "DELETEACL"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        store = _store(session)
        wire, whom = arguments.astring(), arguments.astring()
        if not whom:
            raise Bad(INVALID)
        named = Named.read(whom, anyone=store.may_name_anyone)
        store.set_acl(mailbox_name(wire, session.utf8), named.identifier, "replace", None, negative=named.negative)
        return Reply("Deleteacl complete.")


class ListRights(Command):
    """LISTRIGHTS mailbox identifier: each right can be given on its own."""

    name = "LISTRIGHTS"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        _store(session)
        wire, whom = arguments.astring(), arguments.astring()
        mailbox_name(wire, session.utf8)
        rights = " ".join((*"lrwstpiekxa", *_OLD))
        session.write(b'* LISTRIGHTS %b %b "" %b\r\n' % (_name(wire), _name(whom), rights.encode()))
        return Reply("Listrights completed.")
