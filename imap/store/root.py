"""The mail root: the one directory beneath which all mail lies, and from which every path starts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from imap.store.access import Access, AclSettings
from imap.store.acl import Person
from imap.store.attributes import Attributes
from imap.store.dictfile import DictFile
from imap.store.jail import Directory
from imap.store.listing import Namespace
from imap.store.location import Location
from imap.store.maildir import Fsync
from imap.store.names import Shared
from imap.store.place import Place
from imap.store.quota import QuotaRoot
from imap.store.types import NamespaceInfo
from imap.store.user import UserStore

# Where a user's mail lies, and his file for METADATA ("" if there is none).
Locate = Callable[[str], tuple[Location, str]]
SharedNamespace = tuple[NamespaceInfo, Locate]


class MailRoot:
    """The mail root, held by one descriptor that every path starts from."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open it. Raises OSError."""
        return cls(Directory.root(path))

    def user(
        self,
        username: str,
        namespaces: Sequence[tuple[NamespaceInfo, Location]],
        fsync: Fsync = "optimized",
        anywhere: str | None = None,
        quota: tuple[QuotaRoot, ...] = (),
        attributes: str = "",
        acl: AclSettings | None = None,
        groups: frozenset[str] = frozenset(),
        acl_user: str = "",
        shared: Sequence[SharedNamespace] = (),
    ) -> UserStore:
        """A user's store. One namespace must have `inbox` set.

        `anywhere` is the path of the mail root if names that begin with `/` may open any maildir beneath it
        (mail_full_filesystem_access); None, and they are refused. `attributes` is the file for METADATA, relative to
        the mail root; "", and there is none. With `acl` (the ACL plugin) every access is judged; `shared` are
        namespaces of type shared with what tells where one user's mail lies (raises StoreError).
        """
        opened = [
            Namespace(info, Place(self.directory, at, fsync), username if info.kind == "private" else "")
            for info, at in namespaces
        ]
        access = None if acl is None else Access(Person(acl_user or username, groups), acl, self.directory)

        def of(info: NamespaceInfo, locate: Locate) -> Shared:
            def make(owner: str) -> Namespace:
                at, file = locate(owner)
                named = replace(info, prefix=Shared(info, make).prefix_of(owner))
                return Namespace(named, Place(self.directory, at, fsync), owner, self._attributes(file))

            return Shared(info, make)

        others = [of(info, locate) for info, locate in shared]
        return UserStore(username, opened, anywhere, quota, self._attributes(attributes), access, others)

    def _attributes(self, path: str) -> Attributes | None:
        return Attributes(DictFile(self.directory, path)) if path else None

    def close(self) -> None:
        """Give the descriptor back."""
        self.directory.close()
