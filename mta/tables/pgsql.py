"""pgsql: tables: a query to a PostgreSQL server, or one that speaks its protocol, as pgsql_table(5)."""

from typing import Any

import psycopg
import psycopg.conninfo

from mta.tables.base import Options, Table, UnusableTable
from mta.tables.expansion import source_of
from mta.tables.server import CONNECT_TIMEOUT, Connection, QueryRefused, ServerGone, ServerTable
from mta.tables.sql import DatabaseSource

# Rows taken of one answer: a query without a proper WHERE must not fill the memory.
ROW_LIMIT = 10_000
# libpq looks for a client certificate in the home directory, which a service that gave up root may not even enter.
NO_CERTIFICATE = "/nonexistent"

Rows = list[list[str | None]]


class PgsqlConnection(Connection[list[str], Rows]):
    """One session with a server."""

    def __init__(self, session: psycopg.AsyncConnection[Any], query: str) -> None:
        self._session = session
        self._query = query

    async def ask(self, request: list[str]) -> Rows:
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
        try:
            session = await psycopg.AsyncConnection.connect(
                psycopg.conninfo.make_conninfo(**connection_settings(host, self.source.settings)),
                autocommit=True,
                prepare_threshold=None,  # connection poolers between us and the server know no prepared statements
            )
        except psycopg.Error as error:
            raise ServerGone(_one_line(error)) from error
        return PgsqlConnection(session, self.source.query.text)


def connection_settings(host: str, settings: dict[str, str]) -> dict[str, str]:
    """libpq's parameters for one word of `hosts =`. Raises ServerGone for a bad URI."""
    found: dict[str, str] = {}
    if host.startswith(("postgresql:", "postgres:")):
        try:
            given = psycopg.conninfo.conninfo_to_dict(host)
        except psycopg.Error as error:  # its text holds the URI, and so perhaps a password
            raise ServerGone("bad connection URI") from error
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
        "connect_timeout": f"{CONNECT_TIMEOUT:.0f}",
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
    return PgsqlTable(name, source)
