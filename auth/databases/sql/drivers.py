"""The SQL drivers: sessions with SQLite, PostgreSQL and MySQL or MariaDB, all with the interface of ``Session``."""

from __future__ import annotations

import contextlib
import functools
import socket
import sqlite3
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auth.databases.base import BadArguments
from auth.databases.sessions import ANSWER_SECONDS, CONNECT_SECONDS, Gone, Refused, Session, Sessions

from .query import Query

ROWS_MAX = 1_000_000
"""Rows taken of one answer: an iterate_query may be long, but not without end."""

MAXCONNS = 5
"""Sessions at once, unless ``maxconns=`` says otherwise."""

MYSQL_PORT = 3306
MYSQL_SOCKET = "/run/mysqld/mysqld.sock"
"""Where libmysqlclient looks for ``host=localhost``, Debian's place."""

# libpq looks for a client certificate in the home directory, which the auth service may not enter.
NO_CERTIFICATE = "/nonexistent"

# The server ends the session with these: CR_SERVER_GONE_ERROR, CR_SERVER_LOST, ER_SERVER_SHUTDOWN and the like.
MYSQL_GONE = frozenset([0, 1053, 1927, 2006, 2013, 2055, 4031])


@dataclass(frozen=True, slots=True)
class Ask:
    """A query and its values; ``writes``: it changes something."""

    query: Query
    values: Sequence[str]
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer: the columns' names, and each row's values as text (None: NULL)."""

    names: tuple[str, ...]
    rows: Sequence[Sequence[str | None]]


SqlSessions = Sessions[Ask, Rows]


def open_sessions(driver: str, connect: str, path: Path) -> SqlSessions:
    """The sessions that ``driver`` and ``connect`` of a dovecot-sql.conf.ext mean. Raises BadArguments."""
    if driver not in DRIVERS:
        raise BadArguments(f"sql: Unknown database driver '{driver}' in {path} (known: {', '.join(DRIVERS)})")
    try:
        openers, limit = DRIVERS[driver](connect, path)
    except ModuleNotFoundError as error:
        raise BadArguments(f"sql: the driver {driver} needs the Python module {error.name}, see the README") from None
    return Sessions(f"sql {path}", openers, limit)


Opened = tuple[list[Callable[[], Session[Ask, Rows]]], int]


# -- SQLite ----------------------------------------------------------------------------------------------------------


class SqliteSession:
    """A file, opened for reading only, but for the moment in which something is stored."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._connection = self._open("ro")
        except sqlite3.Error as error:
            raise Gone(f"{path}: {error}") from None

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{Path(self._path).absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=ANSWER_SECONDS,
            check_same_thread=False,
            isolation_level=None,
        )

    def ask(self, question: Ask) -> Rows:
        try:
            if question.writes:
                with contextlib.closing(self._open("rw")) as writer:
                    writer.execute(question.query.text(lambda n: "?"), tuple(question.values))
                return Rows((), [])
            cursor = self._connection.execute(question.query.text(lambda n: "?"), tuple(question.values))
            rows = cursor.fetchmany(ROWS_MAX)
        except (sqlite3.Error, UnicodeError) as error:
            raise Refused(str(error)) from None
        return Rows(tuple(column[0] for column in cursor.description or ()), [[_text(v) for v in row] for row in rows])

    def close(self) -> None:
        self._connection.close()


def _sqlite(connect: str, path: Path) -> Opened:
    return [lambda: SqliteSession(connect)], MAXCONNS


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return None if value is None else str(value)


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


class PgsqlSession:
    """A session by libpq."""

    def __init__(self, settings: str) -> None:
        import psycopg

        self._psycopg = psycopg
        try:
            self._connection = psycopg.connect(
                settings,
                autocommit=True,
                prepare_threshold=None,  # connection poolers between us and the server know no prepared statements
                connect_timeout=CONNECT_SECONDS,
                sslcert=NO_CERTIFICATE,
                application_name="hardmail",
                client_encoding="UTF8",
                options=f"-c statement_timeout={ANSWER_SECONDS * 1000}",
            )
        except psycopg.Error as error:
            raise Gone(_line(error)) from None

    def ask(self, question: Ask) -> Rows:
        try:
            with self._psycopg.RawCursor(self._connection) as cursor:
                cursor.execute(question.query.text(lambda n: f"${n}").encode(), list(question.values))
                result = cursor.pgresult
                if result is None:
                    return Rows((), [])
                columns = range(result.nfields)
                names = tuple((result.fname(n) or b"").decode("utf-8", "replace") for n in columns)
                rows = range(min(result.ntuples, ROWS_MAX))
                # The text as the server writes it, so that true is `t` as it is for libpq.
                return Rows(names, [[_text(result.get_value(row, n)) for n in columns] for row in rows])
        except (self._psycopg.Error, UnicodeError) as error:
            broken = self._connection.closed or self._connection.broken
            raise (Gone if broken else Refused)(_line(error)) from None

    def close(self) -> None:
        self._connection.close()


def _pgsql(connect: str, path: Path) -> Opened:
    import psycopg.conninfo

    words, hosts = _words(connect, path)
    limit = _limit(words.pop("maxconns", ""), path)
    texts = [psycopg.conninfo.make_conninfo(**words, **({"host": host} if host else {})) for host in hosts]
    return [functools.partial(PgsqlSession, text) for text in texts], limit


# -- MySQL, MariaDB --------------------------------------------------------------------------------------------------


class MysqlSession:
    """A session by PyMySQL.

    It knows no parameters but pasted ones; so values are hexadecimal literals, in which no character can mean anything.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import pymysql

        self._pymysql = pymysql
        path = settings.get("unix_socket")
        connection: Any = pymysql.connect(
            **{name: value for name, value in settings.items() if name != "unix_socket"},
            autocommit=True,
            use_unicode=False,
            charset="utf8mb4",
            conv={},  # values as the server writes them
            defer_connect=True,
        )
        sock = None
        try:
            if path is not None:  # PyMySQL's own is left open where nobody listens
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(CONNECT_SECONDS)
                sock.connect(path)
            connection.connect(sock)
        except (pymysql.err.MySQLError, OSError) as error:
            if sock is not None:
                sock.close()
            raise Gone(_reason(error)) from None
        self._connection = connection

    def ask(self, question: Ask) -> Rows:
        values = [f"_utf8mb4 X'{value.encode('utf-8', 'surrogateescape').hex()}'" for value in question.values]
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(question.query.text(lambda n: values[n - 1]))
                names = tuple(_text(column[0]) or "" for column in cursor.description or ())
                return Rows(names, [[_text(value) for value in row] for row in cursor.fetchmany(ROWS_MAX)])
        except (self._pymysql.err.MySQLError, OSError) as error:
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            refused = isinstance(error, self._pymysql.err.MySQLError) and number not in MYSQL_GONE
            raise (Refused if refused else Gone)(_reason(error)) from None

    def close(self) -> None:
        # Not close(): its good-bye would wait for a server that may be stuck.
        self._connection._force_close()


_MYSQL_TEXTS = {"user": "user", "password": "password", "dbname": "database", "option_file": "read_default_file"}
_MYSQL_SECONDS = ("connect_timeout", "read_timeout", "write_timeout")
_MYSQL_TLS = ("ssl_ca", "ssl_ca_path", "ssl_cert", "ssl_key", "ssl_cipher", "ssl_verify_server_cert")


def _mysql(connect: str, path: Path) -> Opened:
    import pymysql  # noqa: F401 - now, while the library may be read

    words, hosts = _words(connect, path)
    limit = _limit(words.pop("maxconns", ""), path)
    settings: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": ANSWER_SECONDS,
        "write_timeout": ANSWER_SECONDS,
    }
    tls = {name: words.pop(name) for name in _MYSQL_TLS if name in words}
    if tls:
        settings["ssl"] = _tls(tls, path)
    group = words.pop("option_group", "client")
    port = _number(words.pop("port", str(MYSQL_PORT)), "port", path)
    for name, value in words.items():
        if name in _MYSQL_TEXTS:
            settings[_MYSQL_TEXTS[name]] = value
        elif name in _MYSQL_SECONDS:
            settings[name] = _number(value, name, path)
        else:
            raise BadArguments(f"mysql: Unknown connect string: {name} ({path})")
    if "read_default_file" in settings:
        settings["read_default_group"] = group
    return [functools.partial(MysqlSession, settings | _mysql_host(host, port)) for host in hosts], limit


def _mysql_host(host: str, port: int) -> dict[str, Any]:
    if host.startswith("/"):
        return {"unix_socket": host}
    if host in ("", "localhost") and Path(MYSQL_SOCKET).exists():
        return {"unix_socket": MYSQL_SOCKET}
    return {"host": host or "localhost", "port": port}


def _tls(words: dict[str, str], path: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=words.get("ssl_ca"), capath=words.get("ssl_ca_path"))
        context.check_hostname = words.get("ssl_verify_server_cert", "no") == "yes"
        if words.get("ssl_cert"):
            context.load_cert_chain(words["ssl_cert"], words.get("ssl_key"))
        if words.get("ssl_cipher"):
            context.set_ciphers(words["ssl_cipher"])
    except (OSError, ValueError) as error:
        raise BadArguments(f"mysql: {path}: {error}") from None
    return context


DRIVERS: dict[str, Callable[[str, Path], Opened]] = {"mysql": _mysql, "pgsql": _pgsql, "sqlite": _sqlite}


# -- connect strings -------------------------------------------------------------------------------------------------


def _words(connect: str, path: Path) -> tuple[dict[str, str], list[str]]:
    """``name=value`` words without ``host``, and the hosts; [""] where none is named."""
    words, hosts = dict[str, str](), list[str]()
    for word in connect.split():
        name, equals, value = word.partition("=")
        if not equals:
            raise BadArguments(f"sql: Missing value in connect string: {name} ({path})")
        if name in ("host", "hostaddr"):
            hosts.append(value)
        else:
            words[name] = value
    return words, hosts or [""]


def _number(text: str, name: str, path: Path) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < len(text) <= 5:
        raise BadArguments(f"sql: Invalid {name}: {text} ({path})")
    return int(text)


def _limit(text: str, path: Path) -> int:
    return max(1, _number(text, "maxconns", path)) if text else MAXCONNS


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _reason(error: Exception) -> str:
    return " ".join(str(error.args[-1] if error.args else error).split()) or type(error).__name__
