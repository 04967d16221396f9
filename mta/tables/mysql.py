"""mysql: tables: a query to a MySQL or MariaDB server, as mysql_table(5)."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pymysql

from mta.tables.base import Options, SpecError, Table, UnusableTable
from mta.tables.expansion import source_of, yes
from mta.tables.server import (
    ANSWER_TIMEOUT,
    CONNECT_TIMEOUT,
    Connection,
    QueryRefused,
    ServerGone,
    ServerTable,
)
from mta.tables.sql import DatabaseSource
from tls.context import client_context
from tls.errors import TLSConfigError
from tls.policy import Policy

# Rows read of one answer: a query without a proper WHERE must not fill the memory.
ROW_LIMIT = 10_000
PORT = 3306
# Where libmysqlclient expects the server of `localhost` (Debian's place).
LOCAL_SOCKET = "/run/mysqld/mysqld.sock"
# The server ends the connection with these: CR_SERVER_GONE_ERROR, CR_SERVER_LOST, ER_SERVER_SHUTDOWN and the like.
GONE = frozenset([0, 1053, 1927, 2006, 2013, 2055, 4031])

Rows = list[tuple[Any, ...]]


class MysqlConnection(Connection[list[str], Rows]):
    """One session with a server, used from worker threads, one at a time.

    The query is prepared by the server. PyMySQL itself knows no parameters but pasted ones; so values travel as
    hexadecimal literals, in which no character can mean anything, into variables that EXECUTE binds.
    """

    def __init__(self, session: Any, source: DatabaseSource) -> None:
        self._session = session
        self._require_result = yes(source.settings, "require_result_set", True, source.path)
        self._prepare = source.query.text
        self._prepared = False

    async def ask(self, request: list[str]) -> Rows:
        return await asyncio.to_thread(self._ask, request)

    def _ask(self, values: list[str]) -> Rows:
        names = [f"@hardmail_{n}" for n in range(len(values))]
        try:
            with self._session.cursor() as cursor:
                if not self._prepared:
                    cursor.execute(f"SET @hardmail_query = {_literal(self._prepare)}")
                    cursor.execute("PREPARE hardmail_lookup FROM @hardmail_query")
                    self._prepared = True
                if names:
                    pairs = zip(names, values, strict=True)
                    cursor.execute("SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in pairs))
                cursor.execute("EXECUTE hardmail_lookup" + (" USING " + ", ".join(names) if names else ""))
                if cursor.description is None:
                    if self._require_result:
                        raise QueryRefused("query returned no result set")
                    return []
                rows = list(cursor.fetchmany(ROW_LIMIT))
                while cursor.nextset():  # a stored procedure's closing status
                    if cursor.description is not None:
                        raise QueryRefused("query returned more than one result set")
                return rows
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError, pymysql.err.InternalError) as error:
            raise (ServerGone if _number(error) in GONE else QueryRefused)(_reason(error)) from error
        except pymysql.err.MySQLError as error:
            raise QueryRefused(_reason(error)) from error

    async def aclose(self) -> None:
        # Not close(): its good-bye would wait for a server that may be stuck.
        self._session._force_close()


class MysqlTable(ServerTable[list[str], Rows]):
    """One query against one database."""

    def __init__(self, name: str, source: DatabaseSource) -> None:
        # The session's own time limit comes first, so that no thread is left behind.
        super().__init__(name, source.hosts, answer_timeout=ANSWER_TIMEOUT + CONNECT_TIMEOUT)
        self.source = source

    async def lookup(self, key: str) -> str | None:
        values = await self.source.values(key)
        return None if values is None else self.source.combine(_texts(await self.ask(values)), key)

    async def connect(self, host: str) -> MysqlConnection:
        try:
            session = await asyncio.to_thread(_open, connection_settings(host, self.source))
        except pymysql.err.MySQLError as error:
            raise ServerGone(_reason(error)) from error
        return MysqlConnection(session, self.source)


def _open(settings: dict[str, Any]) -> Any:
    """A session, as PyMySQL makes it; but a unix socket is made here, as its own is left open where nobody listens."""
    path = settings.pop("unix_socket", None)
    session = pymysql.connect(**settings, autocommit=True, use_unicode=False, defer_connect=True)
    sock = None
    if path is not None:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(CONNECT_TIMEOUT)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            raise
    session.connect(sock)
    return session


def connection_settings(host: str, source: DatabaseSource) -> dict[str, Any]:
    """PyMySQL's parameters for one word of `hosts =`."""
    settings = source.settings
    found: dict[str, Any] = {
        "connect_timeout": int(CONNECT_TIMEOUT),
        "read_timeout": int(ANSWER_TIMEOUT),
        "write_timeout": int(ANSWER_TIMEOUT),
        "charset": "utf8mb4",
        "conv": {},  # values as the server writes them
    }
    name = host.removeprefix("inet:")
    if name.startswith("unix:"):
        found["unix_socket"] = name.removeprefix("unix:")
    elif name == "localhost" and Path(LOCAL_SOCKET).exists():
        found["unix_socket"] = LOCAL_SOCKET
    else:
        found["host"], _, port = name.partition(":")
        found["port"] = int(port) if port.isdigit() and len(port) <= 5 else PORT
    for setting, parameter in (("user", "user"), ("password", "password"), ("dbname", "database")):
        if value := settings.get(setting):
            found[parameter] = value
    if file := settings.get("option_file"):
        found["read_default_file"] = file
        found["read_default_group"] = settings.get("option_group") or "client"
    if context := tls_context(settings, source):
        found["ssl"] = context
    return found


def tls_context(settings: dict[str, str], source: DatabaseSource) -> ssl.SSLContext | None:
    """The TLS side of a connection; None where the settings name neither certificates nor authorities."""

    def file(name: str) -> Path | None:
        return Path(settings[name]) if settings.get(name) else None

    ca = file("tls_CAfile") or file("tls_CApath")
    if not any(settings.get(name) for name in ("tls_CAfile", "tls_CApath", "tls_cert_file", "tls_key_file")):
        return None
    try:
        return client_context(
            Policy(),
            file("tls_CAfile"),
            None if file("tls_CAfile") else file("tls_CApath"),
            "name" if yes(settings, "tls_verify_cert", False, source.path) else "chain" if ca else "none",
            file("tls_cert_file"),
            file("tls_key_file") or file("tls_cert_file"),
        )
    except (TLSConfigError, OSError) as error:
        raise SpecError(f"{source.path}: {error}") from error


def _literal(value: str) -> str:
    """A string as a hexadecimal literal: `_utf8mb4 X'...'`."""
    return f"_utf8mb4 X'{value.encode().hex()}'"


def _texts(rows: Rows) -> list[list[str | None]]:
    return [
        [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in row]
        for row in rows
    ]


def _number(error: Exception) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def _reason(error: Exception) -> str:
    return " ".join(str(error.args[-1] if error.args else error).split()) or type(error).__name__


def open_mysql(name: str, options: Options) -> Table:
    """mysql:/path/of/settings. Raises SpecError for mistakes in them, and where PyMySQL is not installed."""
    path = source_of(name, options)
    if isinstance(path, UnusableTable):
        return path
    source = DatabaseSource.load(path, options, mysql=True)
    yes(source.settings, "require_result_set", True, path)
    tls_context(source.settings, source)
    return MysqlTable(name, source)
