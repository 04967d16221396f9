"""From a mailbox name of the client to the namespace that it lies in and its parts there."""

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from imap.store import location
from imap.store.errors import InvalidName, NonExistent, NoPermission, StoreError
from imap.store.layout import ROOT, Parts, split
from imap.store.listing import Namespace
from imap.store.place import Place
from imap.store.types import NamespaceInfo

_OWNER = re.compile("%[un]")


@dataclass(frozen=True, slots=True)
class Shared:
    """A namespace of type shared, with one user's mail for each name that `%u` in its prefix can be.

    `make` opens one of them. Raises StoreError where there can be none.
    """

    info: NamespaceInfo
    make: Callable[[str], Namespace]

    def owner_of(self, name: str) -> str | None:
        """The user whose mail a mailbox name lies in, None if it lies elsewhere."""
        before, after = _OWNER.split(self.info.prefix, maxsplit=1)
        separator = self.info.separator
        owner, found, _ = name.removeprefix(before).partition(after)
        if not name.startswith(before) or not (found or name == before + owner) or not owner or separator in owner:
            return None
        return owner

    def prefix_of(self, owner: str) -> str:
        """The prefix of one user's mail."""
        return _OWNER.sub(lambda _: owner, self.info.prefix, count=1)


class Names:
    """A user's namespaces. `anywhere` is the mail root's path if absolute names may open any maildir beneath it."""

    def __init__(self, namespaces: Sequence[Namespace], anywhere: str | None, shared: Sequence[Shared] = ()) -> None:
        # The longest prefix that fits decides.
        self.all = sorted(namespaces, key=lambda namespace: -len(namespace.info.prefix))
        self.inbox = next(namespace for namespace in namespaces if namespace.info.inbox)
        self._anywhere = anywhere
        self._shared = shared
        for namespace in namespaces:
            namespace.place.counter = self.inbox.place

    def namespace(self, name: str) -> Namespace:
        """The namespace that a name belongs to. Raises InvalidName."""
        if name.upper() == "INBOX":
            return self.inbox
        for each in self._shared:
            if (owner := each.owner_of(name)) is not None:
                return self._of(each, owner, name)
        for namespace in self.all:
            prefix = namespace.info.prefix
            folded = name[: len(prefix)]
            in_inbox = prefix.upper().startswith("INBOX") and folded.upper() == prefix.upper()
            if folded == prefix or in_inbox or name == prefix.removesuffix(namespace.info.separator):
                return namespace
        raise InvalidName("Invalid namespace", code="CANNOT")

    def share(self, owners: Iterable[str]) -> None:
        """Make the shared namespaces of these users known."""
        for each in self._shared:
            for owner in owners:
                with contextlib.suppress(StoreError):
                    self._of(each, owner, owner)

    def _of(self, shared: Shared, owner: str, name: str) -> Namespace:
        """One user's mail in a shared namespace. Raises NonExistent where there is none."""
        prefix = shared.prefix_of(owner)
        known = next((namespace for namespace in self.all if namespace.info.prefix == prefix), None)
        if known is not None:
            return known
        made = shared.make(owner)
        if not made.place.is_there():
            raise NonExistent(name)
        self.all.append(made)
        self.all.sort(key=lambda each: -len(each.info.prefix))
        return made

    def resolve(self, name: str) -> tuple[Namespace, Parts]:
        """The namespace and the decoded parts of a name. Raises InvalidName."""
        if self._anywhere is not None and name.startswith("/"):
            return self._foreign(name, self._anywhere), ROOT
        namespace = self.namespace(name)
        info = namespace.info
        if name.upper() == "INBOX" or (info.prefix and name == info.prefix.removesuffix(info.separator)):
            return namespace, ROOT
        parts = split(name[len(info.prefix) :], info.separator, namespace.place.location.separator)
        if info.kind == "shared" and name[len(info.prefix) :].upper() == "INBOX":
            return namespace, ROOT
        if info.inbox and parts[0].upper() == "INBOX":
            parts = ("INBOX", *parts[1:])
        return namespace, parts

    def _foreign(self, path: str, mail_root: str) -> Namespace:
        """mail_full_filesystem_access: the maildir at an absolute path. The descriptor's jail still holds."""
        try:
            at = location.parse(f"maildir:{path.replace(':', '::')}", mail_root)
        except location.BadLocation as error:
            raise NoPermission(reason=error.reason) from error
        known = next((namespace for namespace in self.all if namespace.info.prefix == path), None)
        if known is not None:
            return known
        place = Place(self.inbox.place.root, at)
        if not place.exists(ROOT):
            raise NonExistent(path)
        place.counter = self.inbox.place
        self.all.append(Namespace(NamespaceInfo(path, "/", listed="no", subscriptions=False), place))
        return self.all[-1]
