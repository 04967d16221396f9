"""pgsql: tables: a query to a PostgreSQL server, or one that speaks its protocol, as pgsql_table(5)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mta.tables.base import Options, Table, UnusableTable
from mta.tables.expansion import source_of
from mta.tables.server import CONNECT_TIMEOUT, Connection, QueryRefused, ServerGone, ServerTable, driver
from mta.tables.sql import DatabaseSource

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg.rows import TupleRow

# Rows taken of one answer: a query without a proper WHERE must not fill the memory.
ROW_LIMIT = 10_000
# libpq looks for a client certificate in the home directory, which a service that gave up root may not even enter.
NO_CERTIFICATE = "/nonexistent"

Rows = list[list[str | None]]


class PgsqlConnection(Connection[list[str], Rows]):
    """One session with a server."""

    def __init__(self, session: "AsyncConnection[TupleRow]", query: str) -> None:
        self._session = session
        self._query = query

    async def ask(self, request: list[str]) -> Rows:
        import psycopg

        try:
            async with psycopg.AsyncRawCursor(self._session) as cursor:
                await cursor.execute(self._query.encode(), request)
                # The text as the server writes it, so that true is `t` and dates look as in psql.
                result = cursor.pgresult
                if result is None or not result.nfields:
                    return []
                columns, rows = range(result.nfields), range(min(result.ntuples, ROW_LIMIT))
                return [[_text(result.get_value(row, column)) for column in columns] for row in rows]
        except psycopg.Error as error:
            reason = _one_line(error)
            raise (ServerGone if self._session.closed or self._session.broken else QueryRefused)(reason) from error

    async def aclose(self) -> None:
        await self._session.close()


class PgsqlTable(ServerTable[list[str], Rows]):
    """One query against one database."""

    def __init__(self, name: str, source: DatabaseSource) -> None:
        super().__init__(name, source.hosts)
        self.source = source

    async def lookup(self, key: str) -> str | None:
        values = await self.source.values(key)
        return None if values is None else self.source.combine(await self.ask(values), key)

    async def connect(self, host: str) -> PgsqlConnection:
        import psycopg

        try:
            session = await psycopg.AsyncConnection.connect(
                autocommit=True,
                prepare_threshold=None,  # connection poolers between us and the server know no prepared statements
                **connection_settings(host, self.source.settings),
            )
        except psycopg.Error as error:
            raise ServerGone(_one_line(error)) from error
        return PgsqlConnection(session, self.source.query.text)


def connection_settings(host: str, settings: dict[str, str]) -> dict[str, str | int]:
    """libpq's parameters for one word of `hosts =`. Raises ServerGone for a bad URI."""
    import psycopg.conninfo

    found: dict[str, str | int] = {}
    if host.startswith(("postgresql:", "postgres:")):
        try:
            given = psycopg.conninfo.conninfo_to_dict(host)
        except psycopg.Error as error:
            raise ServerGone(_one_line(error)) from error
        found.update({name: str(value) for name, value in given.items() if value is not None})
    else:
        name = host.removeprefix("unix:").removeprefix("inet:")
        if name.startswith("/"):
            found["host"] = name
        else:
            found["host"], _, port = name.partition(":")
            if port:
                found["port"] = port
        for setting, parameter in (("user", "user"), ("password", "password"), ("dbname", "dbname")):
            if value := settings.get(setting):
                found[parameter] = value
    return {
        "sslcert": NO_CERTIFICATE,
        "connect_timeout": int(CONNECT_TIMEOUT),
        "application_name": "hardmail",
        **found,
        "client_encoding": "UTF8",
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def open_pgsql(name: str, options: Options) -> Table:
    """pgsql:/path/of/settings. Raises SpecError for mistakes in them, and where psycopg is not installed."""
    path = source_of(name, options)
    if isinstance(path, UnusableTable):
        return path
    source = DatabaseSource.load(path, options, lambda n: f"${n}")
    driver("psycopg", "pgsql", "postgres")
    return PgsqlTable(name, source)
