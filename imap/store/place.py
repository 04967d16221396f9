"""One mail location of a user, opened: where its mailboxes are found, made, renamed and removed."""

import contextlib
import logging
import os
from collections.abc import Iterator

from imap.store import subscriptions
from imap.store.box import Box
from imap.store.errors import AlreadyExists, JailEscape, NonExistent, StoreError
from imap.store.filenames import unique
from imap.store.index import Index
from imap.store.jail import DEPTH_LIMIT, Directory
from imap.store.layout import ROOT, Folder, Layout, Parts, from_disk
from imap.store.location import Location
from imap.store.maildir import Fsync, Maildir, disk_error
from imap.store.rows import drop, load

log = logging.getLogger("dovecot.store")

_TRASH = "..hardmail-trash."  # directories on their way out; ".." keeps them out of every listing
_MAILDIR_NAMES = ("cur", "new", "tmp")


class Place:
    """A location beneath the mail root. Directories are made when something is first written."""

    def __init__(self, root: Directory, location: Location, fsync: Fsync = "optimized") -> None:
        self.root = root
        self.location = location
        self.layout = Layout(location)
        # Where new UIDVALIDITYs are counted; a user's places share one counter, so that no two mailboxes get the same.
        self.counter: Place = self
        self._fsync = fsync
        self._control: Directory | None = None
        self._index_directory: Directory | None = None
        self._index: Index | None = None

    @property
    def control(self) -> Directory:
        """The directory of `subscriptions` and `dovecot-uidvalidity`."""
        if self._control is None:
            self._control = self.root.make_directories(self.location.control)
        return self._control

    @property
    def index(self) -> Index:
        """The index database."""
        if self._index is None:
            if self.location.index is not None and self._index_directory is None:
                self._index_directory = self.root.make_directories(self.location.index)
            self._index = Index(self._index_directory)
        return self._index

    # -- mailboxes ----------------------------------------------------------------------------------------------------

    def folder(self, parts: Parts) -> Folder:
        """Where a mailbox lies. Raises InvalidName."""
        return self.layout.folder(parts)

    def exists(self, parts: Parts) -> bool:
        """Whether there is a mailbox of this name (not merely a parent of one)."""
        try:
            with self.root.directory(self.folder(parts).mail) as directory:
                if not parts or self.location.layout == "fs":
                    return directory.exists("cur")
                return True
        except (FileNotFoundError, NotADirectoryError, NonExistent):
            return False

    def is_there(self) -> bool:
        """Whether the location itself is there, mailboxes or not."""
        try:
            self.root.directory(self.location.root).close()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def open(self, parts: Parts) -> Box:
        """Open an existing mailbox. Raises NonExistent with an empty name, JailEscape."""
        try:
            return Box(self.root, Maildir(self.root, self.folder(parts), self._fsync), self.counter.control)
        except FileNotFoundError as error:
            raise NonExistent() from error
        except OSError as error:
            raise disk_error(error) from error

    def create(self, parts: Parts) -> None:
        """Make a mailbox. Raises AlreadyExists."""
        try:
            folder = self.folder(parts)
        except NonExistent:
            raise StoreError("Not found") from None  # Dovecot's word for a directory name that is too long
        if self.exists(parts):
            raise AlreadyExists()
        try:
            with self.root.make_directories(folder.mail) as directory:
                for name in ("tmp", "new", "cur"):
                    directory.mkdir(name, exist_ok=True)
                if self.location.layout == "maildir++" and parts:
                    directory.write("maildirfolder", b"", flags=os.O_CREAT, sync=False)
        except OSError as error:
            raise disk_error(error) from error
        with contextlib.closing(self.open(parts).maildir) as maildir, self.index.write() as db:
            Box(self.root, maildir, self.counter.control).sync(db, move_new=False)

    def create_directory(self, parts: Parts) -> None:
        """LAYOUT=fs: make a name that only holds other names."""
        self.root.make_directories(self.folder(parts).mail).close()

    def delete(self, parts: Parts) -> None:
        """Remove a mailbox with its mails; names below it stay. Raises NonExistent."""
        if not self.exists(parts):
            raise NonExistent()
        folder = self.folder(parts)
        with self.index.write() as db:
            row = load(db, folder.key)
            if row is not None:
                drop(db, row.id)
            trash = self._to_trash(folder)
        with self.root.directory(self.location.root) as root:
            for name in trash:
                with contextlib.suppress(OSError):
                    root.remove_tree(name)

    def _to_trash(self, folder: Folder) -> list[str]:
        """Move a mailbox's directories out of sight, each by one rename."""
        names = []
        with self.root.directory(self.location.root) as root:
            for path in dict.fromkeys((folder.mail, folder.control)):
                name = _TRASH + unique.next()
                parent, _, last = path.rpartition("/")
                with contextlib.suppress(FileNotFoundError), self._parent(parent) as directory:
                    if self.location.layout == "maildir++" and folder.parts:
                        directory.rename(last, root, name)
                    else:
                        self._empty(directory, last, root, name)
                    names.append(name)
        return names

    def _empty(self, parent: Directory, last: str, root: Directory, trash: str) -> None:
        """Take the maildir out of a directory that may hold other names, too (LAYOUT=fs, and the root)."""
        root.mkdir(trash)
        with parent.directory(last) as directory, root.directory(trash) as target:
            for name in directory.names():
                own_file = name.startswith("dovecot") or name == "maildirfolder"
                if name in _MAILDIR_NAMES or own_file:
                    directory.rename(name, target, name)
            empty = not directory.names()
        if empty:
            parent.rmdir(last)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[Directory]:
        if path:
            with self.root.directory(path) as directory:
                yield directory
        else:
            yield self.root

    def rename(self, old: Parts, target: "Place", new: Parts) -> None:
        """Rename a mailbox and all names below it, perhaps into another location of the same user.

        Raises NonExistent, AlreadyExists.
        """
        names = [parts for parts in self.names() if parts[: len(old)] == old]
        if not names:
            raise NonExistent()
        if any(target.exists((*new, *parts[len(old) :])) for parts in names):
            raise AlreadyExists("Target mailbox already exists")
        pairs = [(self.folder(parts), target.folder((*new, *parts[len(old) :]))) for parts in names]
        whole = self.location.layout == "fs" and target is self
        moves = [(self.folder(old), self.folder(new))] if whole else sorted(pairs, key=lambda pair: pair[0].key)
        with self.index.write() as db, target.index.write() as target_db:
            for before, after in moves:
                self._rename_directory(before.mail, after.mail)
                if before.control != before.mail:
                    with contextlib.suppress(FileNotFoundError):
                        self._rename_directory(before.control, after.control)
            for before, after in pairs:
                for connection, name in ((target_db, after.key), (db, before.key if target is not self else None)):
                    row = load(connection, name) if name is not None else None
                    if row is not None:  # in another location's index it comes up anew from its uidlist
                        drop(connection, row.id)
                if target is self:
                    db.execute("UPDATE mailbox SET name = ? WHERE name = ?", (after.key, before.key))

    def _rename_directory(self, old: str, new: str) -> None:
        old_parent, _, old_name = old.rpartition("/")
        new_parent, _, new_name = new.rpartition("/")
        if new_parent:
            self.root.make_directories(new_parent).close()
        with self._parent(old_parent) as source, self._parent(new_parent) as target:
            source.rename(old_name, target, new_name)

    # -- names --------------------------------------------------------------------------------------------------------

    def names(self) -> list[Parts]:
        """All names on disk, the root too if it is a mailbox; in LAYOUT=fs directories without a maildir as well."""
        try:
            with self.root.directory(self.location.root) as directory:
                if self.location.layout == "maildir++":
                    found = self._maildir_names(directory)
                else:
                    found = list(self._fs_names(directory, ()))
        except FileNotFoundError:
            return []
        if self.exists(ROOT):
            found.append(ROOT)
        return found

    def _maildir_names(self, directory: Directory) -> list[Parts]:
        found = []
        for name in directory.subdirectories():
            if name.startswith(_TRASH):  # left by a kill between rename and removal
                with contextlib.suppress(OSError):
                    directory.remove_tree(name)
            parts = self.layout.parts_of_directory(name)
            if parts is not None:
                found.append(parts)
        return found

    def _fs_names(self, directory: Directory, above: Parts) -> Iterator[Parts]:
        for name in directory.subdirectories():
            parts = from_disk((*above, name)) if len(above) < DEPTH_LIMIT else None
            if name in _MAILDIR_NAMES or name.startswith(("..", "dovecot")) or parts is None:
                continue
            with contextlib.suppress(FileNotFoundError, JailEscape), directory.directory(name) as below:
                yield parts
                yield from self._fs_names(below, (*above, name))

    # -- subscriptions ------------------------------------------------------------------------------------------------

    def subscriptions(self) -> list[Parts]:
        """The subscribed names, decoded; what cannot be decoded is left out."""
        try:
            with self.root.directory(self.location.control) as control:
                found = subscriptions.read(control, self.location.separator)
        except FileNotFoundError:
            return []
        return [parts for disk in found if (parts := from_disk(disk)) is not None]

    def subscribe(self, disk: Parts, subscribed: bool) -> bool:
        """Add or remove a name (its disk form); returns whether it changed."""
        return subscriptions.change(self.control, self.location.separator, disk, subscribed)

    def discard_index(self, reason: str) -> None:
        """Throw a damaged index away."""
        if self._index is not None:
            self._index.discard(reason)

    def close(self) -> None:
        """Give descriptors back."""
        if self._index is not None:
            self._index.close()
        for directory in (self._control, self._index_directory):
            if directory is not None:
                directory.close()
        self._index = self._control = self._index_directory = None
