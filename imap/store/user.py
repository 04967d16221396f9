"""One user's mail: namespaces, the names in them, and opening, making, renaming and removing mailboxes."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from imap.store import transfer
from imap.store.attributes import NO_PLACE, AttributeFile
from imap.store.box import Box
from imap.store.errors import AlreadyExists, InvalidName, NonExistent, NotPossible, StoreError
from imap.store.guard import guarded
from imap.store.index import Index
from imap.store.layout import ROOT, Parts, check_new, to_disk
from imap.store.listing import Namespace, comes_by_itself, names_of, special_use
from imap.store.mailbox import Mailbox
from imap.store.names import Names
from imap.store.numbers import count, measure
from imap.store.place import Place
from imap.store.quota import Limits, QuotaRoot
from imap.store.stream import Incoming
from imap.store.types import AppendResult, MailboxInfo, NamespaceInfo, NewMail, Status


class UserStore:
    """See the interface in the package's docstring."""

    def __init__(
        self,
        username: str,
        namespaces: Sequence[Namespace],
        anywhere: str | None = None,
        quota: tuple[QuotaRoot, ...] = (),
        attributes: AttributeFile | None = None,
    ) -> None:
        self.username = username
        self._attributes = attributes
        self.quota_roots = quota
        self._names = Names(namespaces, anywhere)
        self.namespaces = tuple(namespace.info for namespace in namespaces)
        self.separator = self._names.inbox.info.separator

    # -- names --------------------------------------------------------------------------------------------------------

    def namespace_of(self, name: str) -> NamespaceInfo:
        """The namespace that a name belongs to. Raises InvalidName."""
        return self._names.namespace(name).info

    def validate(self, name: str, creating: bool = False) -> None:
        """Raises InvalidName for a name that cannot be; the disk is not touched."""
        namespace, parts = self._names.resolve(name)
        if creating:
            check_new(parts)
        namespace.place.folder(parts)

    @guarded
    def exists(self, name: str) -> bool:
        """Whether a selectable mailbox of this name is there (or comes up by itself when opened)."""
        namespace, parts = self._names.resolve(name)
        return namespace.place.exists(parts) or comes_by_itself(namespace, parts) is not None

    @guarded
    def list_mailboxes(self, patterns: Sequence[str] = ()) -> list[MailboxInfo]:
        """Everything visible, parents included, sorted by name.

        A namespace with `list = no` is shown only if one of the `patterns` of LIST begins with its prefix.
        """
        result: list[MailboxInfo] = []
        subscribed = set(self.subscriptions(patterns))
        for namespace in self._names.all:
            if not _is_listed(namespace.info, patterns):
                continue
            if namespace.info.prefix:
                namespace.place.root.make_directories(namespace.place.location.root).close()
            result += names_of(namespace, subscribed)
        return sorted(result, key=lambda info: (info.name != "INBOX", info.name))

    def special_use(self, name: str) -> tuple[str, ...]:
        """What the configuration says a mailbox is for. Raises InvalidName."""
        namespace, parts = self._names.resolve(name)
        return special_use(namespace.info.mailboxes, namespace.info.separator.join(parts))

    # -- making and removing ------------------------------------------------------------------------------------------

    @guarded
    def create(self, name: str) -> None:
        """Make a mailbox; a trailing separator is left off. Raises AlreadyExists, InvalidName."""
        namespace = self._names.namespace(name)
        directory_only = name.endswith(namespace.info.separator)
        namespace, parts = self._names.resolve(name.removesuffix(namespace.info.separator) if directory_only else name)
        check_new(parts)
        if directory_only and namespace.place.location.layout == "fs":
            namespace.place.create_directory(parts)
        else:
            namespace.place.create(parts)

    @guarded
    def delete(self, name: str) -> None:
        """Remove a mailbox. Raises NonExistent, NotPossible for INBOX."""
        if not name:
            raise NotPossible("Storage root can't be deleted")
        namespace, parts = self._names.resolve(name)
        if parts == ROOT and namespace.info.inbox:
            raise StoreError("INBOX can't be deleted")
        if parts == ROOT:
            raise NotPossible("Storage root can't be deleted")
        try:
            if self._attributes is not None:
                self._attributes.forget(self.status(name).guid)
            namespace.place.delete(parts)
        except NonExistent:
            if comes_by_itself(namespace, parts) is None:
                raise NonExistent(name) from None

    @guarded
    def rename(self, old: str, new: str) -> None:
        """Rename a mailbox with all below it. Raises NonExistent, AlreadyExists, NotPossible."""
        source, old_parts = self._names.resolve(old)
        target, new_parts = self._names.resolve(new)
        check_new(new_parts)
        if source is target and old_parts == new_parts:
            raise AlreadyExists("Can't rename mailbox to itself")
        if new_parts == ROOT:
            raise AlreadyExists("Target mailbox already exists") if self.exists(old) else NonExistent(old)
        if old_parts == ROOT:
            raise NotPossible("Renaming INBOX isn't supported")
        if source is target and len(new_parts) > len(old_parts) and new_parts[: len(old_parts)] == old_parts:
            raise StoreError("Can't rename mailbox under its own child")
        try:
            source.place.rename(old_parts, target.place, new_parts)
        except NonExistent:
            raise NonExistent(old) from None

    # -- subscriptions ------------------------------------------------------------------------------------------------

    @guarded
    def subscribe(self, name: str) -> None:
        """Subscribe to an existing mailbox. Raises NonExistent."""
        try:
            known = self.exists(name)
        except InvalidName as error:
            if error.code is None:
                raise
            known = False
        if not known:
            raise NonExistent(name)
        namespace, parts = self._names.resolve(name)
        self._subscribe(namespace, parts, subscribed=True)

    @guarded
    def unsubscribe(self, name: str) -> None:
        """Unsubscribe; a name that is not subscribed is fine. Raises InvalidName."""
        namespace, parts = self._names.resolve(name)
        self._subscribe(namespace, parts, subscribed=False)

    def _subscribe(self, namespace: Namespace, parts: Parts, *, subscribed: bool) -> None:
        holder = namespace
        disk = to_disk(parts or ("INBOX",))
        if not namespace.info.subscriptions:
            holder = next((n for n in self._names.all if n.info.subscriptions and not n.info.prefix), namespace)
            prefix = namespace.info.prefix.strip(namespace.info.separator)
            disk = (*to_disk(tuple(prefix.split(namespace.info.separator))), *disk) if prefix else disk
        holder.place.subscribe(disk, subscribed)

    @guarded
    def subscriptions(self, patterns: Sequence[str] = ()) -> list[str]:
        """The subscribed names, in the order of the files; mailboxes with `auto = subscribe` come last.

        `patterns` as in list_mailboxes().
        """
        found: dict[str, None] = {}
        for namespace in self._names.all:
            if namespace.info.subscriptions and _is_listed(namespace.info, patterns):
                found.update(dict.fromkeys(namespace.name(parts) for parts in namespace.place.subscriptions()))
        for namespace in self._names.all:
            for special in namespace.info.mailboxes:
                if special.auto == "subscribe":
                    found.setdefault(namespace.info.prefix + special.name)
        return list(found)

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open_box(self, name: str) -> tuple[Box, Place]:
        """The mailbox, made now if it is INBOX or an `auto` one. Raises NonExistent."""
        namespace, parts = self._names.resolve(name)
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
        box, place = self._open_box(name)
        try:
            box.maildir.sweep()
            return Mailbox(name, box, place.index, self, read_only=read_only)
        except BaseException:
            box.maildir.close()
            raise

    @contextlib.contextmanager
    def destination(self, name: str) -> Iterator[tuple[Box, Index]]:
        """A mailbox to write into."""
        box, place = self._open_box(name)
        with contextlib.closing(box.maildir):
            yield box, place.index

    @guarded
    def spool(self, name: str) -> Incoming:
        """Where a big mail can be written as it comes, before it is appended. Raises NonExistent."""
        return Incoming(self._open_box(name)[0].maildir)

    @guarded
    def append(self, name: str, mails: Sequence[NewMail]) -> AppendResult:
        """Store mails, all or none, durably. Raises NonExistent, OverQuota, LimitExceeded."""
        self.admit(name, sum(mail.size for mail in mails), len(mails))
        with self.destination(name) as (box, index):
            return transfer.append(box, index, mails)

    @guarded
    def deliver(self, name: str, mail: NewMail) -> None:
        """Put a mail into new/, durably and without touching the index: readers give it a UID when they see it.

        Raises NonExistent, InvalidName, OverQuota.
        """
        assert isinstance(mail.data, bytes)
        self.admit(name, mail.size, 1, delivery=True)
        box, _ = self._open_box(name)
        with contextlib.closing(box.maildir):
            saved = box.maildir.save(mail.data, mail.internal_date)
            box.maildir.publish(saved, "new/" + saved.base)
            box.maildir.settle("new")

    @guarded
    def status(self, name: str, size: bool = False) -> Status:
        """Counts of a mailbox, without opening it for a session. Raises NonExistent."""
        with self.destination(name) as (box, index):
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
        return self._attribute_file().read(self.status(name).guid)

    @guarded
    def set_attributes(self, name: str, entries: Mapping[str, bytes | None]) -> None:
        """Set entries, None removes; all or none, durably. Raises NonExistent, NotPossible, LimitExceeded."""
        self._attribute_file().change(self.status(name).guid, entries)

    def _attribute_file(self) -> AttributeFile:
        if self._attributes is None:
            raise NotPossible(NO_PLACE)
        return self._attributes

    # -- quota --------------------------------------------------------------------------------------------------------

    @guarded
    def quota_usage(self, root: QuotaRoot) -> Limits:
        """Octets (CRLF form) and messages that count towards a quota root."""
        storage = messages = 0
        for info in self.list_mailboxes():
            namespace, parts = self._names.resolve(info.name)
            if not info.selectable or root.ignores(info.name) or not namespace.place.exists(parts):
                continue
            with self.destination(info.name) as (box, index):
                octets, mails = measure(box, index)
            storage, messages = storage + octets, messages + mails
        return Limits(storage, messages)

    def admit(self, name: str, size: int, count: int, *, delivery: bool = False) -> None:
        """Raises OverQuota if `count` more mails of `size` octets in all do not fit."""
        for root in self.quota_roots:
            limits = root.limits(name)
            if limits.storage or limits.messages:
                root.check(self.quota_usage(root), size, count, name, delivery=delivery)

    def damaged(self, reason: str) -> None:
        """Throw damaged indexes away; the next use makes them anew."""
        for namespace in self._names.all:
            namespace.place.discard_index(reason)

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


def _is_listed(info: NamespaceInfo, patterns: Sequence[str]) -> bool:
    return info.listed != "no" or any(pattern.startswith(info.prefix) for pattern in patterns)
