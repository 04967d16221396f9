"""One user's mail: namespaces, the names in them, and opening, making, renaming and removing mailboxes."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from imap.store import transfer
from imap.store.access import Access
from imap.store.acl import ALL, Entry, Identifier
from imap.store.attributes import NO_PLACE, Attributes
from imap.store.box import Box
from imap.store.errors import AlreadyExists, InvalidName, NonExistent, NotPossible, StoreError
from imap.store.guard import guarded
from imap.store.index import Index
from imap.store.layout import ROOT, Parts, check_new, to_disk
from imap.store.listing import Namespace, comes_by_itself, names_of, parents_of, special_use
from imap.store.mailbox import Mailbox
from imap.store.names import Names, Shared
from imap.store.numbers import count, measure
from imap.store.place import Place
from imap.store.quota import Limits, QuotaRoot
from imap.store.stream import Incoming
from imap.store.types import AppendResult, MailboxInfo, NamespaceInfo, NewMail, Status, StoreMode


class UserStore:
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
        self.username = username
        self.access = access  # None: nobody is asked
        self._attributes = attributes
        self.quota_roots = quota
        self._names = Names(namespaces, anywhere, shared)
        self.namespaces = (*(namespace.info for namespace in namespaces), *(each.info for each in shared))
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
        if self.access is not None and not self.access.rights(namespace, parts):
            return False
        return namespace.place.exists(parts) or comes_by_itself(namespace, parts) is not None

    def require(self, name: str, rights: str) -> None:
        """Raises NoPermission or NonExistent where the user lacks one of the rights (letters of RFC 4314)."""
        if self.access is not None:
            namespace, parts = self._names.resolve(name)
            for right in rights:
                self.access.require(right, namespace, parts)

    def rights(self, name: str) -> frozenset[str]:
        """What the user may do with a mailbox."""
        return ALL if self.access is None else self.access.rights(*self._names.resolve(name))

    @guarded
    def list_mailboxes(self, patterns: Sequence[str] = ()) -> list[MailboxInfo]:
        """Everything visible, parents included, sorted by name.

        A namespace with `list = no` is shown only if one of the `patterns` of LIST begins with its prefix.
        """
        result: list[MailboxInfo] = []
        subscribed = set(self.subscriptions(patterns))
        if self.access is not None:
            self._names.share(self.access.owners())
        for namespace in self._names.all:
            if not _is_listed(namespace.info, patterns):
                continue
            if namespace.info.prefix and namespace.info.kind != "shared":
                namespace.place.root.make_directories(namespace.place.location.root).close()
            names = names_of(namespace, subscribed)
            if self.access is not None:
                names = list(self._visible(self.access, namespace, names))
            if namespace.info.kind == "shared" and names:
                result += (info for info in parents_of(namespace) if info not in result)
            result += names
        return sorted(result, key=lambda info: (info.name != "INBOX", info.name))

    def special_use(self, name: str) -> tuple[str, ...]:
        """What the configuration says a mailbox is for. Raises InvalidName."""
        namespace, parts = self._names.resolve(name)
        return special_use(namespace.info.mailboxes, namespace.info.separator.join(parts))

    def _visible(self, access: Access, namespace: Namespace, infos: list[MailboxInfo]) -> Iterator[MailboxInfo]:
        """The names that the user may look up, and the parents of these."""
        shown = {info.name for info in infos if not info.selectable or self._may_look_up(access, namespace, info.name)}
        for info in infos:
            below = info.name + info.separator
            children = any(name.startswith(below) for name in shown)
            if info.name in shown:
                yield replace(info, has_children=info.has_children and (children or not info.selectable))
            elif children:
                yield replace(info, selectable=False, hidden=True)

    def _may_look_up(self, access: Access, namespace: Namespace, name: str) -> bool:
        return "l" in access.rights(namespace, self._names.resolve(name)[1])

    # -- making and removing ------------------------------------------------------------------------------------------

    @guarded
    def create(self, name: str) -> None:
        """Make a mailbox; a trailing separator is left off. Raises AlreadyExists, InvalidName."""
        namespace = self._names.namespace(name)
        directory_only = name.endswith(namespace.info.separator)
        namespace, parts = self._names.resolve(name.removesuffix(namespace.info.separator) if directory_only else name)
        check_new(parts)
        if self.access is not None:
            self.access.require_create(namespace, parts)
        if directory_only and namespace.place.location.layout == "fs":
            namespace.place.create_directory(parts)
        else:
            namespace.place.create(parts)
            if self.access is not None:
                self.access.inherit(namespace, parts)

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
        if self.access is not None:
            self.access.require("x", namespace, parts)
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
        if source is not target and {source.info.kind, target.info.kind} != {"private"}:
            raise NotPossible("Renaming not supported across non-private namespaces")
        if self.access is not None:
            self.access.require("x", source, old_parts)
            self.access.require_create(target, new_parts)
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
        return self._kept().read(self.status(name).guid)

    @guarded
    def set_attributes(self, name: str, entries: Mapping[str, bytes | None]) -> None:
        """Set entries, None removes; all or none, durably. Raises NonExistent, NotPossible, LimitExceeded."""
        self._kept().change(self.status(name).guid, entries)

    def _kept(self) -> Attributes:
        if self._attributes is None:
            raise NotPossible(NO_PLACE)
        return self._attributes

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
