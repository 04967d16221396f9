"""One user's mail: opening mailboxes, writing into them, what is kept of them, and who may do what with them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from imap.store import transfer
from imap.store.access import Access
from imap.store.acl import Entry, Identifier
from imap.store.attributes import NO_PLACE, Attributes, is_private
from imap.store.box import Box
from imap.store.errors import NonExistent, NotPossible, StoreError
from imap.store.guard import guarded
from imap.store.hierarchy import Hierarchy
from imap.store.index import Index
from imap.store.layout import Parts
from imap.store.listing import Namespace, comes_by_itself, names_of
from imap.store.mailbox import Mailbox
from imap.store.names import Names, Shared
from imap.store.numbers import count, measure
from imap.store.place import Place
from imap.store.quota import Limits, QuotaRoot
from imap.store.stream import Incoming
from imap.store.types import AppendResult, NewMail, Status, StoreMode


class UserStore(Hierarchy):
    """See the interface in the package's docstring."""

    def __init__(
        self,
        username: str,
        namespaces: Sequence[Namespace],
        anywhere: str | None = None,
        quota: tuple[QuotaRoot, ...] = (),
        attributes: Attributes | None = None,
        access: Access | None = None,
        shared: Sequence[Shared] = (),
    ) -> None:
        super().__init__(Names(namespaces, anywhere, shared), access)
        self.username = username
        self._attributes = attributes
        self.quota_roots = quota
        self.namespaces = (*(namespace.info for namespace in namespaces), *(each.info for each in shared))
        self.separator = self._names.inbox.info.separator

    @guarded
    def delete(self, name: str) -> None:
        """As Hierarchy.delete; what METADATA keeps of the mailbox goes with it."""
        guid = self._guid(name) if self._attributes is not None and name else None
        super().delete(name)
        if self._attributes is not None and guid is not None:
            self._attributes.forget(guid)

    def _guid(self, name: str) -> str | None:
        try:
            with self.destination(name, "") as (box, index):
                return count(box, index, None).guid
        except StoreError:
            return None

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open_box(self, name: str, right: str = "") -> tuple[Box, Place]:
        """The mailbox, made now if it is INBOX or an `auto` one. Raises NonExistent, NoPermission."""
        namespace, parts = self._names.resolve(name)
        if self.access is not None and right:
            self.access.require(right, namespace, parts)
        place = namespace.place
        if not place.exists(parts):
            auto = comes_by_itself(namespace, parts)
            if auto is None:
                raise NonExistent(name)
            with contextlib.suppress(StoreError):
                place.create(parts)
            if auto == "subscribe":
                self._subscribe(namespace, parts, subscribed=True)
        try:
            box = place.open(parts)
        except NonExistent:
            raise NonExistent(name) from None
        return box, place

    @guarded
    def open(self, name: str, read_only: bool = False) -> Mailbox:
        """Open a mailbox for a session. Raises NonExistent, InvalidName."""
        box, place = self._open_box(name, "r")
        try:
            box.maildir.sweep()
            return Mailbox(name, box, place.index, self, read_only=read_only, rights=self.rights(name))
        except BaseException:
            box.maildir.close()
            raise

    @contextlib.contextmanager
    def destination(self, name: str, right: str = "i") -> Iterator[tuple[Box, Index]]:
        """A mailbox to write into. Raises NonExistent, NoPermission."""
        box, place = self._open_box(name, right)
        with contextlib.closing(box.maildir):
            yield box, place.index

    @guarded
    def spool(self, name: str) -> Incoming:
        """Where a big mail can be written as it comes, before it is appended. Raises NonExistent."""
        return Incoming(self._open_box(name, "i")[0].maildir)

    @guarded
    def append(self, name: str, mails: Sequence[NewMail]) -> AppendResult:
        """Store mails, all or none, durably. Raises NonExistent, OverQuota, LimitExceeded."""
        self.admit(name, sum(mail.size for mail in mails), len(mails))
        rights = self.rights(name)
        with self.destination(name) as (box, index):
            result = transfer.append(box, index, [transfer.permitted(mail, rights) for mail in mails])
        return transfer.appended(result, rights)

    @guarded
    def deliver(self, name: str, mail: NewMail) -> None:
        """Put a mail into new/, durably and without touching the index: readers give it a UID when they see it.

        Raises NonExistent, InvalidName, OverQuota.
        """
        assert isinstance(mail.data, bytes)
        self.admit(name, mail.size, 1, delivery=True)
        box, _ = self._open_box(name, "p")
        with contextlib.closing(box.maildir):
            saved = box.maildir.save(mail.data, mail.internal_date)
            box.maildir.publish(saved, "new/" + saved.base)
            box.maildir.settle("new")

    @guarded
    def status(self, name: str, size: bool = False) -> Status:
        """Counts of a mailbox, without opening it for a session. Raises NonExistent."""
        with self.destination(name, "r") as (box, index):
            total = measure(box, index)[0] if size else None
            return count(box, index, total)

    # -- attributes ---------------------------------------------------------------------------------------------------

    @property
    def has_attributes(self) -> bool:
        """Whether there is a place to keep them (mail_attribute_dict)."""
        return self._attributes is not None

    @guarded
    def attributes(self, name: str) -> dict[str, bytes]:
        """What METADATA keeps of a mailbox: "/private/comment" and its value ... Raises NonExistent, NotPossible."""
        mine, common, guid = *self._kept(name), self.status(name).guid
        found = mine.read(guid)
        if common is not mine:
            found = {entry: value for entry, value in found.items() if is_private(entry)}
            found |= {entry: value for entry, value in common.read(guid).items() if not is_private(entry)}
        return found

    @guarded
    def set_attributes(self, name: str, entries: Mapping[str, bytes | None]) -> None:
        """Set entries, None removes; durably, and all or none of what is kept in one file.

        Raises NonExistent, NotPossible, LimitExceeded.
        """
        mine, common, guid = *self._kept(name), self.status(name).guid
        private = {entry: value for entry, value in entries.items() if common is mine or is_private(entry)}
        shared = {entry: value for entry, value in entries.items() if entry not in private}
        for kept, changes in ((mine, private), (common, shared)):
            if changes:
                kept.change(guid, changes)

    def _kept(self, name: str) -> tuple[Attributes, Attributes]:
        """Where the private and the shared entries of a mailbox are kept: the latter with whoever owns it."""
        if self._attributes is None:
            raise NotPossible(NO_PLACE)
        return self._attributes, self._names.namespace(name).attributes or self._attributes

    # -- access control -----------------------------------------------------------------------------------------------

    @guarded
    def told_rights(self, name: str) -> frozenset[str]:
        """For MYRIGHTS: what the user may do with a mailbox. Raises NonExistent."""
        return self._asked().told(*self._names.resolve(name))

    @guarded
    def acl(self, name: str) -> tuple[list[Entry], bool]:
        """The entries of a mailbox, and whether it is the user's own. Raises NonExistent, NoPermission."""
        namespace, parts = self._administered(name)
        return self._asked().entries(namespace, parts), self._asked().is_owner(namespace)

    @guarded
    def set_acl(
        self, name: str, identifier: Identifier, mode: StoreMode, rights: frozenset[str] | None, *, negative: bool
    ) -> None:
        """Change what an identifier may do, or (`negative`) may not; None takes it away.

        Raises NonExistent, NoPermission.
        """
        namespace, parts = self._administered(name)
        self._asked().change(namespace, parts, identifier, mode, rights, negative=negative)

    @property
    def may_name_anyone(self) -> bool:
        """Whether SETACL may give rights to everybody (acl_anyone = allow)."""
        return self._asked().settings.anyone

    def _administered(self, name: str) -> tuple[Namespace, Parts]:
        if not name:
            raise NonExistent(name)
        namespace, parts = self._names.resolve(name)
        self._open_box(name)[0].maildir.close()
        self._asked().require("a", namespace, parts)
        return namespace, parts

    def _asked(self) -> Access:
        if self.access is None:
            raise NotPossible()
        return self.access

    # -- quota --------------------------------------------------------------------------------------------------------

    @guarded
    def quota_usage(self, root: QuotaRoot) -> Limits:
        """Octets (CRLF form) and messages that count towards a quota root."""
        storage = messages = 0
        mine = (each for each in self._names.all if each.info.kind != "shared")
        for info in (info for namespace in mine for info in names_of(namespace, set())):
            namespace, parts = self._names.resolve(info.name)
            if not info.selectable or root.ignores(info.name) or not namespace.place.exists(parts):
                continue
            with self.destination(info.name, "") as (box, index):
                octets, mails = measure(box, index)
            storage, messages = storage + octets, messages + mails
        return Limits(storage, messages)

    def admit(self, name: str, size: int, count: int, *, delivery: bool = False) -> None:
        """Raises OverQuota if `count` more mails of `size` octets in all do not fit."""
        for root in self.quota_roots:
            limits = root.limits(name)
            if limits.storage or limits.messages:
                root.check(self.quota_usage(root), size, count, name, delivery=delivery)

    def close(self) -> None:
        """Give descriptors back."""
        for namespace in self._names.all:
            namespace.place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
