"""The names of one user's mailboxes: listing, making, renaming, removing and subscribing to them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from imap.store.access import Access
from imap.store.acl import ALL
from imap.store.errors import AlreadyExists, InvalidName, NonExistent, NotPossible, StoreError
from imap.store.guard import guarded
from imap.store.layout import ROOT, Parts, check_new, to_disk
from imap.store.listing import Namespace, comes_by_itself, names_of, parents_of, special_use
from imap.store.names import Names
from imap.store.types import MailboxInfo, NamespaceInfo


class Hierarchy:
    """The part of UserStore that deals with names. `access` None: nobody is asked."""

    def __init__(self, names: Names, access: Access | None) -> None:
        self._names = names
        self.access = access

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
        separator = namespace.info.separator
        pieces = [name.split(separator) for name in shown]
        above = {separator.join(each[:depth]) for each in pieces for depth in range(1, len(each))}
        for info in infos:
            children = info.name in above
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

    def damaged(self, reason: str) -> None:
        """Throw damaged indexes away; the next use makes them anew."""
        for namespace in self._names.all:
            namespace.place.discard_index(reason)


def _is_listed(info: NamespaceInfo, patterns: Sequence[str]) -> bool:
    return info.listed != "no" or any(pattern.startswith(info.prefix) for pattern in patterns)
