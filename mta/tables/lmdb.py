"""lmdb: tables: the files that postmap(1) builds, Postfix's or ours, as lmdb_table(5) has them."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from mta.tables.base import Options, SpecError, Table, TableError, fold
from mta.tables.lmdbfile import DatabaseFile, Duplicate, Locked, decode, remove, write
from mta.tables.textfile import open_text

log = logging.getLogger("postfix.tables")

SUFFIX = ".lmdb"
# How long a lookup waits while the table is being built, in seconds; and how often it looks whether that is over.
LOCK_PATIENCE = 10.0
LOCK_INTERVAL = 0.02


class LmdbTable(Table):
    """One file, read at every lookup: what another process builds is seen at once."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name)
        self.path = path
        self._file: DatabaseFile | None = None
        self._lost: tuple[int, int] | None = None

    async def lookup(self, key: str) -> str | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_PATIENCE
        while True:
            try:
                return self.file().get(key)
            except Locked as error:
                if loop.time() >= deadline:
                    raise self._locked() from error
            await asyncio.sleep(LOCK_INTERVAL)

    def sequence(self) -> Iterator[tuple[str, str]]:
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                with self.file().reading() as transaction:
                    found = [(decode(key), decode(value)) for key, value in transaction.cursor()]
            except Locked as error:
                if time.monotonic() >= deadline:
                    raise self._locked() from error
                time.sleep(LOCK_INTERVAL)
                continue
            yield from found
            return

    async def update(self, key: str, value: str) -> None:
        write(self.path, [(fold(key), value)], duplicate=Duplicate.REPLACE)

    async def delete(self, key: str) -> bool:
        return remove(self.path, [key]) > 0

    def file(self) -> DatabaseFile:
        """The open file; opened again if another has taken its name. Raises TableError."""
        if self._file is not None:
            try:
                status = self.path.stat()
            except OSError:  # a jail closed, or the file is gone: what is open stays good
                return self._file
            if (status.st_dev, status.st_ino) == self._file.inode or (status.st_dev, status.st_ino) == self._lost:
                return self._file
            try:
                new = DatabaseFile.open(self.path)
            except TableError as error:
                if not isinstance(error.__cause__, PermissionError):
                    raise
                # A jail keeps the new file out of reach: what is open stays good.
                log.warning("table %s has changed, and this process may not open it again: reload", self.path)
                self._lost = (status.st_dev, status.st_ino)
                return self._file
            self.close()
            self._file = new
            return new
        self._file = DatabaseFile.open(self.path)
        return self._file

    def _locked(self) -> TableError:
        return TableError(f"{self.path}: another process has locked the table for too long")

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a later lookup opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def built_file(source: Path) -> Path:
    """Where postmap puts the table that it makes of a source."""
    return source.with_name(source.name + SUFFIX)


def open_lmdb(name: str, options: Options) -> Table:
    """lmdb:/path: the built file /path.lmdb or, where it has never been built, the text source /path."""
    text = name.partition(":")[2]
    if not text:
        raise SpecError(f'expecting "lmdb:name" form instead of "{name}"')
    source = Path(options.base, text)
    built = built_file(source)
    if not built.exists() and source.exists():
        return open_text(name, options)
    table = LmdbTable(name, built)
    try:
        table.file()
        if source.stat().st_mtime > built.stat().st_mtime:
            log.warning("database %s is older than source file %s", built, source)
    except TableError as error:
        log.error("%s", error)
    except OSError:  # no source beside it: nothing to compare
        pass
    return table
