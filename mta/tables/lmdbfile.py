"""LMDB files in Postfix's form: shared by all tables of a process, kept apart from builders by flock(2)."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import lmdb

from mta.tables.base import TableError, fold

log = logging.getLogger("postfix.tables")

# lmdb_map_size where main.cf tells nothing; the file grows beyond it by doubling.
DEFAULT_MAP_SIZE = 16 << 20
# Beyond this a table is no lookup table any more; doubling must end.
MAP_SIZE_LIMIT = 1 << 40

Inode = tuple[int, int]
Work = Callable[[lmdb.Transaction, Any], int]


class Locked(Exception):
    """Another process is building the table just now."""


class Duplicate(Enum):
    """What becomes of an entry whose key is there already: postmap's default, -w and -r."""

    WARN = "warn"
    IGNORE = "ignore"
    REPLACE = "replace"


def encode(text: str) -> bytes:
    """Text as Postfix keeps it: with the NUL that ends a C string."""
    return text.encode("utf-8", "surrogateescape") + b"\0"


def decode(data: bytes | memoryview) -> str:
    """Text out of a file, whether its writer kept the closing NUL or not."""
    return bytes(data).removesuffix(b"\0").decode("utf-8", "surrogateescape")


class DatabaseFile:
    """One open file. LMDB allows it to be open once in a process, so tables of the same file share this object."""

    _shared: dict[Inode, "DatabaseFile"] = {}  # noqa: RUF012 (one for the process is the purpose)

    def __init__(self, path: Path, lock: int, inode: Inode) -> None:
        self.path = path
        self.inode = inode
        self._lock = lock
        self._users = 0
        self._environment: lmdb.Environment | None = None

    @classmethod
    def open(cls, path: Path) -> "DatabaseFile":
        """Open a file, or take part in one that is open. Raises TableError."""
        try:
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TableError(f"open database {path}: {error.strerror}") from error
        status = os.fstat(lock)
        inode = status.st_dev, status.st_ino
        file = cls._shared.get(inode)
        if file is None:
            file = cls._shared[inode] = cls(path, lock, inode)
        else:
            os.close(lock)
        file._users += 1
        try:
            file._opened()
        except TableError:
            file.close()
            raise
        return file

    def close(self) -> None:
        """Take no more part; the last one closes the file."""
        self._users -= 1
        if self._users == 0:
            del self._shared[self.inode]
            self.pause()
            os.close(self._lock)

    def pause(self) -> None:
        """Unmap the file until it is read again, so that this process can open it for writing."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[lmdb.Transaction]:
        """A read transaction under the readers' lock. Raises Locked (at once: nothing here waits), TableError."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked from error
        try:
            with self._begin() as transaction:
                yield transaction
        except lmdb.Error as error:
            self.pause()
            raise TableError(f"{self.path}: {error}") from error
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def get(self, key: str) -> str | None:
        """The value of a key, written with the closing NUL or without. Raises Locked, TableError."""
        wanted = encode(fold(key))
        with self.reading() as transaction:
            limit = self._opened().max_key_size()
            for form in (wanted, wanted[:-1]):
                if 0 < len(form) <= limit and (found := transaction.get(form)) is not None:
                    return decode(found)
        return None

    def _begin(self) -> lmdb.Transaction:
        try:
            return self._opened().begin()
        except lmdb.MapResizedError:  # the file has outgrown the map
            self._opened().set_mapsize(0)
            return self._opened().begin()

    def _opened(self) -> lmdb.Environment:
        if self._environment is None:
            try:
                self._environment = lmdb.open(str(self.path), subdir=False, readonly=True, create=False, lock=False)
            except lmdb.Error as error:
                raise TableError(f"open database {self.path}: {error}") from error
        return self._environment


def write(
    path: Path,
    entries: Iterable[tuple[str, str]],
    *,
    truncate: bool = False,
    duplicate: Duplicate = Duplicate.WARN,
    map_size: int = DEFAULT_MAP_SIZE,
    mode: int = 0o644,
) -> None:
    """Add entries (keys are folded already) in one transaction: readers see the old table or the new one.

    truncate: what was there goes, in the same transaction. Raises TableError; the file is then as it was.
    """
    rows = [(encode(key), encode(value)) for key, value in entries]

    def work(transaction: lmdb.Transaction, database: Any) -> int:
        if truncate:
            transaction.drop(database, delete=False)
        again = [
            key
            for key, value in rows
            if not transaction.put(key, value, overwrite=duplicate is Duplicate.REPLACE) and duplicate is Duplicate.WARN
        ]
        for key in again:
            log.warning('%s: duplicate entry: "%s"', path, decode(key))
        return len(rows)

    _change(path, work, map_size, mode)


def remove(path: Path, keys: Iterable[str]) -> int:
    """Take keys out of a file; how many of them were there. Raises TableError."""
    wanted = [encode(fold(key)) for key in keys]

    def work(transaction: lmdb.Transaction, _database: Any) -> int:
        return sum(transaction.delete(key) or transaction.delete(key[:-1]) for key in wanted)

    if not path.exists():
        raise TableError(f"open database {path}: No such file or directory")
    return _change(path, work, DEFAULT_MAP_SIZE, 0o644)


def _change(path: Path, work: Work, map_size: int, mode: int) -> int:
    """Run work in one write transaction, alone on the file; the map is doubled until everything fits."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    except OSError as error:
        raise TableError(f"open database {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status = os.fstat(lock)
        if reader := DatabaseFile._shared.get((status.st_dev, status.st_ino)):
            reader.pause()
        size = max(map_size, status.st_size)
        while True:
            try:
                with (
                    lmdb.open(str(path), subdir=False, lock=False, map_size=size) as environment,
                    environment.begin(write=True) as transaction,
                ):
                    return work(transaction, environment.open_db(txn=transaction))
            except lmdb.MapFullError:
                size *= 2
                if size > MAP_SIZE_LIMIT:
                    raise
    except lmdb.BadValsizeError as error:
        raise TableError(f"{path}: a key is empty or longer than the database allows") from error
    except lmdb.Error as error:
        raise TableError(f"{path}: {error}") from error
    finally:
        os.close(lock)
