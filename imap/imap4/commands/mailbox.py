"""Managing mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, STATUS (RFC 3501 section 6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imap.imap4.commands.base import Command, Flush, Reply
from imap.imap4.commands.names import mailbox_name, wire_name
from imap.imap4.errors import Bad, No
from imap.store import NonExistent, NotSelectable, UserStore

if TYPE_CHECKING:
    from imap.imap4.arguments import Arguments
    from imap.imap4.session import Session


def _store(session: Session) -> UserStore:
    assert session.store is not None
    return session.store


class Create(Command):
    """CREATE. A separator at the end (a name that will only have children) is taken off."""

    name = "CREATE"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        name = mailbox_name(arguments.astring())
        store = _store(session)
        if len(name) > 1:
            name = name.removesuffix(store.namespace_of(name).separator)
        store.create(name)
        return Reply("Create completed.")


class Delete(Command):
    """DELETE; a session that has the mailbox selected, this one too, is told BYE when it next looks."""

    name = "DELETE"
    flush = Flush.NOTHING

    def run(self, session: Session, arguments: Arguments) -> Reply:
        name = mailbox_name(arguments.astring())
        _store(session).delete(name)
        return Reply("Delete completed.")


class Rename(Command):
    """RENAME, children included."""

    name = "RENAME"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        old, new = mailbox_name(arguments.astring()), mailbox_name(arguments.astring())
        _store(session).rename(old, new)
        return Reply("Rename completed.")


class Subscribe(Command):
    """SUBSCRIBE, to a mailbox that exists."""

    name = "SUBSCRIBE"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        name = mailbox_name(arguments.astring())
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
        _store(session).unsubscribe(mailbox_name(arguments.astring()))
        return Reply("Unsubscribe completed.")


STATUS_ITEMS = ("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "SIZE", "X-SIZE", "X-GUID")


def status_items(group: Arguments, session: Session) -> list[str]:
    """Read ``(MESSAGES UNSEEN ...)``. Asking for HIGHESTMODSEQ enables CONDSTORE (RFC 7162 section 3.1)."""
    items: list[str] = []
    if not group.more():
        raise Bad("Empty status list")
    while group.more():
        item = group.word()
        if item not in STATUS_ITEMS:
            raise Bad(f"Invalid status item {item}")
        if item not in items:
            items.append(item)
    if "HIGHESTMODSEQ" in items:
        session.enabled.add("CONDSTORE")
    return items


def tell_status(session: Session, name: str, items: list[str]) -> None:
    """Write one STATUS response. Raises StoreError."""
    status = _store(session).status(name, size="SIZE" in items or "X-SIZE" in items)
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
    }
    text = " ".join(f"{item} {values[item]}" for item in items)
    session.write(b"* STATUS " + wire_name(name) + f" ({text})\r\n".encode())


class Status(Command):
    """STATUS mailbox (items)."""

    name = "STATUS"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        wire = arguments.astring()
        items = status_items(arguments.group(), session)
        name = mailbox_name(wire)
        try:
            tell_status(session, name, items)
        except (NonExistent, NotSelectable) as error:
            raise No(error.text) from error
        view = session.view
        if view is not None and (view.mailbox.name == name or (name.upper() == view.mailbox.name == "INBOX")):
            return Reply("[CLIENTBUG] Status on selected mailbox completed.".removeprefix("[CLIENTBUG] "), "CLIENTBUG")
        return Reply("Status completed.")
