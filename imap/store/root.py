"""The mail root: the one directory beneath which all mail lies, and from which every path starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from imap.store.attributes import AttributeFile
from imap.store.jail import Directory
from imap.store.listing import Namespace
from imap.store.location import Location
from imap.store.maildir import Fsync
from imap.store.place import Place
from imap.store.quota import QuotaRoot
from imap.store.types import NamespaceInfo
from imap.store.user import UserStore


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
    ) -> UserStore:
        """A user's store. One namespace must have `inbox` set.

        `anywhere` is the path of the mail root if names that begin with `/` may open any maildir beneath it
        (mail_full_filesystem_access); None, and they are refused. `attributes` is the file for METADATA, relative to
        the mail root; "", and there is none.
        """
        opened = [Namespace(info, Place(self.directory, at, fsync)) for info, at in namespaces]
        file = AttributeFile(self.directory, attributes) if attributes else None
        return UserStore(username, opened, anywhere, quota, file)

    def close(self) -> None:
        """Give the descriptor back."""
        self.directory.close()
