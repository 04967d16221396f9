"""Managing mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, STATUS (RFC 3501 section 6.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from imap.imap4.capability import MAX_MESSAGE
from imap.imap4.commands.base import Command, Reply
from imap.imap4.commands.message import enable_condstore
from imap.imap4.commands.names import mailbox_name, wire_name
from imap.imap4.errors import Bad, No
from imap.imap4.syntax import string
from imap.store import NonExistent, NotSelectable, StoreError, UserStore

if TYPE_CHECKING:
    from imap.imap4.arguments import Arguments
    from imap.imap4.session import Session
    from imap.imap4.view import View


def _store(session: Session) -> UserStore:
    assert session.store is not None
    return session.store


def _view_of(session: Session, name: str) -> View | None:
    """The session's view of a mailbox, None if it has another one selected or none."""
    view = session.view
    if view is None:
        return None
    selected = view.mailbox.name
    return view if selected == name or selected.upper() == name.upper() == "INBOX" else None


class Create(Command):
    """CREATE. A separator at the end (a name that will only have children) is taken off."""

    name = "CREATE"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        name = mailbox_name(arguments.astring(), session.utf8)
        store = _store(session)
        if len(name) > 1:
            name = name.removesuffix(store.namespace_of(name).separator)
        store.create(name)
        code = f"MAILBOXID ({store.status(name).guid})" if session.settings.extensions else None
        return Reply("Create completed.", code)


class Delete(Command):
    """DELETE; a session that has the mailbox selected is told BYE when it next looks, this one at once."""

    name = "DELETE"
    breaks_mailbox = True

    def run(self, session: Session, arguments: Arguments) -> Reply:
        name = mailbox_name(arguments.astring(), session.utf8)
        if name.upper() == "INBOX" or _view_of(session, name) is None:
            _store(session).delete(name)
            return Reply("Delete completed.")
        session.deselect()
        bye = "Selected mailbox was deleted, have to disconnect."
        try:
            _store(session).delete(name)
        except StoreError as error:
            return Reply(error.text, error.code, status="NO", bye=bye)
        return Reply("Delete completed.", bye=bye)


class Rename(Command):
    """RENAME, children included."""

    name = "RENAME"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        old, new = mailbox_name(arguments.astring(), session.utf8), mailbox_name(arguments.astring(), session.utf8)
        store = _store(session)
        store.rename(old, new)
        if session.rev2:
            pair = string(store.namespace_of(new).separator.encode()), wire_name(new, session.utf8)
            session.write(b'* LIST () %b %b ("OLDNAME" (%b))\r\n' % (*pair, wire_name(old, session.utf8)))
        return Reply("Rename completed.")


class Subscribe(Command):
    """SUBSCRIBE, to a mailbox that exists."""

    name = "SUBSCRIBE"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        name = mailbox_name(arguments.astring(), session.utf8)
        store = _store(session)
        try:
            store.subscribe(name)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text) from error
        return Reply("Subscribe completed.")


class Unsubscribe(Command):
    """UNSUBSCRIBE, whether subscribed or not."""

    name = "UNSUBSCRIBE"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        _store(session).unsubscribe(mailbox_name(arguments.astring(), session.utf8))
        return Reply("Unsubscribe completed.")


# Of OBJECTID (RFC 8474), APPENDLIMIT (RFC 7889) and IMAP4rev2, which Dovecot does not know.
EXTENDED_STATUS_ITEMS = ("MAILBOXID", "APPENDLIMIT", "DELETED")
STATUS_ITEMS = ("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "SIZE", "X-SIZE", "X-GUID")


def status_items(group: Arguments, session: Session) -> list[str]:
    """Read ``(MESSAGES UNSEEN ...)``. Asking for HIGHESTMODSEQ enables CONDSTORE (RFC 7162 section 3.1)."""
    items: list[str] = []
    if not group.more():
        raise Bad("Empty status list")
    while group.more():
        item = group.word()
        if item not in STATUS_ITEMS and not (session.settings.extensions and item in EXTENDED_STATUS_ITEMS):
            raise Bad(f"Invalid status item {item}")
        if item not in items:
            items.append(item)
    if "HIGHESTMODSEQ" in items:
        session.enabled.add("CONDSTORE")
        if session.view is not None:
            enable_condstore(session, session.view)
    return items


def tell_status(session: Session, name: str, items: list[str]) -> None:
    """Write one STATUS response; of the selected mailbox, what the client has been told of it. Raises StoreError."""
    status = _store(session).status(name, size="SIZE" in items or "X-SIZE" in items)
    view = _view_of(session, name)
    if view is not None:
        status = replace(
            status,
            messages=len(view),
            recent=view.recent,
            unseen=view.mailbox.unseen()[0],
            uidnext=view.mailbox.uidnext,
        )
    values: dict[str, int | str | None] = {
        "MESSAGES": status.messages,
        "RECENT": status.recent,
        "UIDNEXT": status.uidnext,
        "UIDVALIDITY": status.uidvalidity,
        "UNSEEN": status.unseen,
        "HIGHESTMODSEQ": status.highest_modseq,
        "SIZE": status.size,
        "X-SIZE": status.size,
        "X-GUID": status.guid,
        "MAILBOXID": f"({status.guid})",
        "APPENDLIMIT": MAX_MESSAGE,
        "DELETED": status.deleted,
    }
    text = " ".join(f"{item} {values[item]}" for item in items)
    session.write(b"* STATUS " + wire_name(name, session.utf8) + f" ({text})\r\n".encode())


class Status(Command):
    """STATUS mailbox (items)."""

    name = "STATUS"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        wire = arguments.astring()
        items = status_items(arguments.group(), session)
        name = mailbox_name(wire, session.utf8)
        try:
            tell_status(session, name, items)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text) from error
        if _view_of(session, name) is not None:
            return Reply("Status on selected mailbox completed.", "CLIENTBUG")
        return Reply("Status completed.")
