"""One maildir on disk: its directories held open, its names listed, mails written and read."""

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from imap.store import filenames
from imap.store.errors import NonExistent, NoPermission, OverQuota, StoreError
from imap.store.jail import Directory, write_all
from imap.store.layout import Folder

Fsync = Literal["optimized", "always", "never"]
# A directory whose time stamp is younger than this at the moment it is listed may change once more without getting
# another stamp (kernel time stamps move with the timer tick, at most 10 ms); it is listed once more later.
SETTLE_NS = 20_000_000
_RESCANS = 10  # listing is repeated while other programs rename files during it
# Left-over files of killed deliveries are removed after this (maildir(5): 36 hours).
TMP_LIFETIME_SECONDS = 36 * 3600


@dataclass(frozen=True, slots=True)
class Saved:
    """A mail that is in tmp/, durable, and only waits for its name in new/ or cur/."""

    temporary: str
    base: str
    size: int  # with CRLF
    date: int


class Maildir:
    """The open directories of one mailbox. File names are given as "cur/NAME" and "new/NAME"."""

    def __init__(self, root: Directory, folder: Folder, fsync: Fsync = "optimized") -> None:
        self.folder = folder
        self.fsync = fsync
        self.mail = root.directory(folder.mail)
        try:
            self.cur = self._subdirectory("cur")
            self.new = self._subdirectory("new")
            self.tmp = self._subdirectory("tmp")
            same = folder.control == folder.mail
            self.control = root.make_directories(folder.control) if not same else self.mail
        except BaseException:
            self.close()
            raise
        self._places = {"cur": self.cur, "new": self.new}

    def _subdirectory(self, name: str) -> Directory:
        try:
            return self.mail.directory(name)
        except FileNotFoundError:
            self.mail.mkdir(name, exist_ok=True)
            return self.mail.directory(name)

    def locate(self, file: str) -> tuple[Directory, str]:
        """The directory and the name of "cur/NAME" or "new/NAME"."""
        return self._places[file[:3]], file[4:]

    def stamp(self) -> str:
        """Changes whenever a file was added, removed or renamed."""
        return f"{self.cur.stat().st_mtime_ns}.{self.new.stat().st_mtime_ns}"

    def settled(self) -> bool:
        """Whether a further change is sure to give another stamp()."""
        newest = max(self.cur.stat().st_mtime_ns, self.new.stat().st_mtime_ns)
        return time.time_ns() - newest > SETTLE_NS

    def scan(self) -> tuple[set[str], str]:
        """All mail files and the stamp() they belong to. A rename during the listing makes it start again.

        Raises FileNotFoundError if the maildir was removed.
        """
        if self.mail.stat().st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "mailbox was removed", self.mail.path)
        stamp = self.stamp()
        for _ in range(_RESCANS):
            # First new/, then cur/: a mail that moves on meanwhile is seen twice rather than never.
            files = {"new/" + name for name in self.new.names() if not name.startswith(".")}
            files.update("cur/" + name for name in self.cur.names() if not name.startswith("."))
            after = self.stamp()
            if after == stamp:
                break
            stamp = after
        return files, stamp

    def save(self, data: bytes, date: float | None) -> Saved:
        """Write a mail to tmp/ with LF line ends, durably. Raises OverQuota when the disk is full."""
        stored = data.replace(b"\r\n", b"\n")
        size = crlf_size(stored)
        base = f"{filenames.unique.next()},S={len(stored)},W={size}"
        try:
            descriptor = self.tmp.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise disk_error(error) from error
        try:
            write_all(descriptor, stored)
            if date is not None:
                os.utime(descriptor, (date, date))
            if self.fsync != "never":
                os.fsync(descriptor)
            status = os.fstat(descriptor)
        except OSError as error:
            self.tmp.unlink(base, missing_ok=True)
            raise disk_error(error) from error
        finally:
            os.close(descriptor)
        return Saved(base, base, size, int(status.st_mtime))

    def publish(self, saved: Saved, file: str) -> None:
        """Give a saved mail its final name, atomically."""
        place, name = self.locate(file)
        self.tmp.rename(saved.temporary, place, name)

    def forget(self, saved: Saved) -> None:
        """Drop a saved mail that was not published."""
        self.tmp.unlink(saved.temporary, missing_ok=True)

    def settle(self, *places: str) -> None:
        """Make published names durable."""
        if self.fsync != "never":
            for place in places:
                self._places[place].sync()

    def read(self, file: str, count: int | None = None) -> bytes:
        """The stored octets of a mail. Raises FileNotFoundError."""
        place, name = self.locate(file)
        return place.read(name, count=count)

    def open(self, file: str) -> int:
        """A descriptor of a mail. Raises FileNotFoundError."""
        place, name = self.locate(file)
        return place.open(name, os.O_RDONLY | os.O_NONBLOCK)

    def has(self, file: str) -> bool:
        """Whether "cur/NAME" or "new/NAME" is there."""
        place, name = self.locate(file)
        return place.exists(name)

    def sweep(self) -> None:
        """Remove what killed deliveries left in tmp/ long ago, whatever date their mail bears (its mtime)."""
        limit = time.time() - TMP_LIFETIME_SECONDS
        for name in self.tmp.names():
            with contextlib.suppress(OSError):
                if self.tmp.stat(name).st_ctime < limit:
                    self.tmp.unlink(name)

    def close(self) -> None:
        """Close the descriptors."""
        for name in ("cur", "new", "tmp", "control", "mail"):
            directory = getattr(self, name, None)
            if directory is not None:
                directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def disk_error(error: OSError) -> StoreError:
    """What a failed system call on a mail file means to the client."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OverQuota("Not enough disk space", reason=str(error))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NoPermission(reason=str(error))
    if error.errno == errno.ENOENT:
        return NonExistent("", "Mailbox doesn't exist")
    return StoreError(code="SERVERBUG", reason=str(error))


def crlf(stored: bytes) -> bytes:
    """The CRLF form of stored octets (a bare CR stays as it is)."""
    if b"\r\n" in stored:
        stored = stored.replace(b"\r\n", b"\n")
    return stored.replace(b"\n", b"\r\n")


def crlf_size(stored: bytes) -> int:
    """len(crlf(stored)) without making it."""
    return len(stored) + stored.count(b"\n") - stored.count(b"\r\n")
