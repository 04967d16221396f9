"""SQL as passdb and userdb, by a dovecot-sql.conf.ext (wiki AuthDatabase/SQL)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from auth import variables
from auth.databases.base import UNKNOWN, BadArguments, DatabaseError, Entry, Pairs, PassDatabase, UserDatabase, Verdict
from auth.databases.extfile import flat
from auth.databases.fields import entry_of
from auth.request import AuthRequest

from .drivers import Ask, Rows, open_sessions
from .query import Query

DEFAULTS = {
    "driver": "",
    "connect": "",
    "password_query": "SELECT username, domain, password FROM users WHERE username = '%n' AND domain = '%d'",
    "user_query": "SELECT home, uid, gid FROM users WHERE username = '%n' AND domain = '%d'",
    "update_query": "UPDATE users SET password = '%w' WHERE username = '%n' AND domain = '%d'",
    "iterate_query": "SELECT username, domain FROM users",
    "default_pass_scheme": "MD5",
    "userdb_warning_disable": "no",
}
"""Settings of the file and what Dovecot takes for those that are missing; update_query is for OTP."""


class SqlSource:
    """One configuration file: the queries and the sessions they are asked on."""

    def __init__(self, args: str) -> None:
        if not args:
            raise BadArguments("sql: Configuration file path not given")
        self.path = Path(args)
        found = flat(self.path, DEFAULTS)
        for name in ("driver", "connect"):
            if not found[name]:
                raise BadArguments(f"sql: {name} not set in configuration file {self.path}")
        mysql = found["driver"] == "mysql"
        self.scheme = found["default_pass_scheme"]
        self.password_query = Query.parse(found["password_query"], mysql=mysql)
        self.user_query = Query.parse(found["user_query"], mysql=mysql)
        self.iterate_query = Query.parse(found["iterate_query"], mysql=mysql)
        self.update_query = Query.parse(found["update_query"], mysql=mysql, updates=True)
        self.file = Path(found["connect"]) if found["driver"] == "sqlite" else None
        self._sessions = open_sessions(found["driver"], found["connect"], self.path)
        self.close = self._sessions.close

    async def store(self, request: AuthRequest, stored: str) -> None:
        """Run update_query. Raises DatabaseError."""

        def variable(name: str) -> str | None:
            return stored if name in ("w", "password") else request.variable(name)

        def expand(template: str) -> str:
            return variables.expand(template, variable)

        question = Ask(self.update_query, self.update_query.values(expand), writes=True)
        await self._sessions.ask(request.parameters.rip, question)

    async def ask(self, query: Query, request: AuthRequest) -> Rows:
        """The rows of a query for a request. Raises DatabaseError, UnknownVariable."""
        return await self._sessions.ask(request.parameters.rip, Ask(query, query.values(request.expand)))


def _cache_key(query: Query, request: AuthRequest) -> str:
    """What the answer depends on."""
    return "\0".join(query.values(request.expand))


class SqlPassdb(PassDatabase):
    """password_query: one row with a column ``password`` (or ``password_noscheme``); the others are extra fields."""

    driver = "sql"
    can_store = True

    def __init__(self, source: SqlSource) -> None:
        super().__init__(source.scheme)
        self._source = source

    def cache_key(self, request: AuthRequest) -> str | None:
        return _cache_key(self._source.password_query, request)

    async def store(self, request: AuthRequest, stored: str) -> None:
        await self._source.store(request, stored)

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        answer = await self._source.ask(self._source.password_query, request)
        if not answer.rows:
            return UNKNOWN
        if not {"password", "password_noscheme"} & set(answer.names):
            raise DatabaseError("Password query must return a field named 'password'")
        if len(answer.rows) > 1:
            raise DatabaseError("Password query returned multiple matches")
        return entry_of(zip(answer.names, answer.rows[0], strict=True), self.default_scheme, request)


class SqlUserdb(UserDatabase):
    """user_query: the first row's columns are the fields. iterate_query: ``user``, or ``username`` and ``domain``."""

    driver = "sql"
    iterable = True

    def __init__(self, source: SqlSource) -> None:
        self._source = source

    def cache_key(self, request: AuthRequest) -> str | None:
        return _cache_key(self._source.user_query, request)

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        answer = await self._source.ask(self._source.user_query, request)
        return list(zip(answer.names, answer.rows[0], strict=True)) if answer.rows else None

    async def users(self, request: AuthRequest) -> AsyncIterator[str]:
        answer = await self._source.ask(self._source.iterate_query, request)
        for row in answer.rows:
            found = dict(zip(answer.names, row, strict=True))
            # "user" counts only as the first column: so it is in Dovecot.
            name = found.get("user") if answer.names[0] == "user" else found.get("username")
            if name is None:
                raise DatabaseError("sql: Iterate query didn't return 'user' field")
            domain = found.get("domain") if answer.names[0] != "user" else None
            yield f"{name}@{domain}" if domain is not None else name
