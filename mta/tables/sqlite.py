"""sqlite: tables: a query against an SQLite file, as sqlite_table(5), values always bound, never pasted."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from mta.tables.base import Options, SpecError, Table, TableError, UnusableTable
from mta.tables.expansion import source_of
from mta.tables.sql import DatabaseSource

# Rows read of one answer: a query without a proper WHERE must not fill the memory.
ROW_LIMIT = 10_000
# How long a writer may hold the database before a lookup gives up, in seconds.
BUSY_TIMEOUT = 10.0


class SqliteTable(Table):
    """One query against one database file, opened read-only."""

    def __init__(self, name: str, source: DatabaseSource, database: Path) -> None:
        super().__init__(name)
        self.source = source
        self.database = database
        self._connection: sqlite3.Connection | None = None
        self._turn = asyncio.Lock()

    async def lookup(self, key: str) -> str | None:
        values = await self.source.values(key)
        if values is None:
            return None
        async with self._turn:
            try:
                rows = await asyncio.to_thread(self._ask, values)
                return self.source.combine(rows, key)
            except (sqlite3.Error, UnicodeError) as error:
                raise TableError(f"{self.name}: {error}") from error

    def open(self) -> None:
        """Open the files now, before a jail closes (`chroot = y`); what fails is tried again at the first lookup."""
        with contextlib.suppress(sqlite3.Error):
            self._execute("SELECT count(*) FROM sqlite_master", [])

    def _ask(self, values: list[str]) -> list[tuple[object, ...]]:
        return self._execute(self.source.query.text, values)

    def _execute(self, query: str, values: list[str]) -> list[tuple[object, ...]]:
        if self._connection is None:
            uri = f"file:{quote(str(self.database))}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)
        try:
            return self._connection.execute(query, values).fetchmany(ROW_LIMIT)
        except sqlite3.Error:
            self.close()
            raise

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()


def open_sqlite(name: str, options: Options) -> Table:
    """sqlite:/path/of/settings. Raises SpecError for a settings file with mistakes."""
    path = source_of(name, options)
    if isinstance(path, UnusableTable):
        return path
    source = DatabaseSource.load(path, options)
    database = source.settings.get("dbpath", "")
    if not database:
        raise SpecError(f"{path}: dbpath is not given")
    table = SqliteTable(name, source, Path(options.base, database))
    table.open()
    return table
