"""One connection to a directory server: sansldap speaks LDAP (RFC 4511), asyncio carries it."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import sansldap
from sansldap import LDAPFilter, LDAPResultCode

from mta.tables.server import CONNECT_TIMEOUT, Connection, QueryRefused, ServerGone
from tls.errors import TLSError
from tls.starttls_asyncio import upgrade_client

PORTS = {"ldap": 389, "ldaps": 636}
START_TLS = "1.3.6.1.4.1.1466.20037"  # RFC 4511 section 4.14.1
# What one answer may hold before it is given up: an unlimited search must not fill the memory.
ANSWER_LIMIT = 16 << 20
CHUNK = 1 << 16
# Seconds that a server gets to answer the end of TLS: a connection that is given up must not linger.
CLOSE_TIMEOUT = 1.0
# Results after which the server itself is of no use for the moment.
AWAY = frozenset([LDAPResultCode.BUSY, LDAPResultCode.UNAVAILABLE, LDAPResultCode.UNWILLING_TO_PERFORM])
_HOST = re.compile(r"(?:(ldaps?)://)?(\[[0-9a-fA-F:.]+\]|[^:/\[\]]+)(?::([0-9]{1,5}))?/?", re.IGNORECASE)


@dataclass(frozen=True)
class Search:
    """One search request. scope: 0 base, 1 one, 2 sub."""

    base: str
    scope: int
    filter: LDAPFilter
    attributes: tuple[str, ...]
    dereference: int = 0
    size_limit: int = 0


@dataclass(frozen=True)
class Entry:
    """One entry found, with its attributes as the server names them."""

    name: str
    attributes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Login:
    """How to log in: none, simple, EXTERNAL or PLAIN."""

    method: str
    name: str = ""
    password: str = ""
    authorization_id: str = ""

    def __repr__(self) -> str:  # not the generated one: it would show the password
        return f"<Login {self.method} {self.name}>"


Answer = list[Entry] | None


class LdapConnection(Connection[Search, Answer]):
    """Asks one search at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._client = sansldap.LDAPClient()

    @classmethod
    async def open(
        cls, host: str, port: int, context: ssl.SSLContext, login: Login, *, start_tls: bool
    ) -> "LdapConnection":
        """Connect to `ldap://host:port`, `ldaps://...`, `ldapi://%2Fpath` or `host:port` and log in.

        Raises ServerGone, OSError.
        """
        if host.lower().startswith("ldapi://"):
            reader, writer = await asyncio.open_unix_connection(unquote(host[len("ldapi://") :]).rstrip("/"))
            return await cls._login(cls(reader, writer), login)
        match = _HOST.fullmatch(host)
        if match is None:
            raise ServerGone(f"not an LDAP server's address: {host}")
        scheme, name = (match[1] or "ldap").lower(), match[2].strip("[]")
        number = int(match[3] or (port if scheme == "ldap" else PORTS["ldaps"]))
        reader, writer = await asyncio.open_connection(name, number, ssl=context if scheme == "ldaps" else None)
        connection = cls(reader, writer)
        if start_tls and scheme == "ldap":
            await connection._start_tls(context, name)
        return await cls._login(connection, login)

    @staticmethod
    async def _login(connection: "LdapConnection", login: Login) -> "LdapConnection":
        client = connection._client
        try:
            match login.method:
                case "none":
                    return connection
                case "simple":
                    client.bind_simple(login.name, login.password)
                case "EXTERNAL":
                    client.bind_sasl("EXTERNAL", cred=login.authorization_id.encode())
                case mechanism:
                    parts = (login.authorization_id, login.name, login.password)
                    client.bind_sasl(mechanism, cred="\0".join(parts).encode())
            answer = await connection._answer(sansldap.BindResponse)
            if answer.result.result_code != LDAPResultCode.SUCCESS:
                raise ServerGone(f"cannot bind as {login.name or 'anonymous'}: {describe(answer.result)}")
        except BaseException:
            await connection.aclose()
            raise
        return connection

    async def _start_tls(self, context: ssl.SSLContext, name: str) -> None:
        try:
            self._client.extended_request(START_TLS)
            answer = await self._answer(sansldap.ExtendedResponse)
            if answer.result.result_code != LDAPResultCode.SUCCESS:
                raise ServerGone(f"cannot start TLS: {describe(answer.result)}")
            await upgrade_client(self._reader, self._writer, context, server_hostname=name, timeout=CONNECT_TIMEOUT)
        except TLSError as error:
            await self.aclose()
            raise ServerGone(f"cannot start TLS: {error}") from error
        except BaseException:
            await self.aclose()
            raise

    async def ask(self, request: Search) -> Answer:
        """The entries found; None when the base of the search does not exist."""
        try:
            self._client.search_request(
                request.base,
                request.scope,
                request.dereference,
                request.size_limit,
                filter=request.filter,
                attributes=list(request.attributes) or ["1.1"],
            )
            entries = list[Entry]()
            done = await self._answer(sansldap.SearchResultDone, entries)
        except sansldap.LDAPError as error:
            raise ServerGone(str(error)) from error
        code = done.result.result_code
        if code == LDAPResultCode.NO_SUCH_OBJECT:
            return None
        if code in AWAY:
            raise ServerGone(describe(done.result))
        if code != LDAPResultCode.SUCCESS:
            raise QueryRefused(f"search error {describe(done.result)}")
        return entries

    async def _answer(self, kind: type[Any], entries: list[Entry] | None = None) -> Any:
        """Send what is to be sent and read until a message of that kind; entries before it are collected."""
        self._writer.write(self._client.data_to_send())
        await self._writer.drain()
        size = 0
        while True:
            data = await self._reader.read(CHUNK)
            if not data:
                raise ServerGone("server closed the connection")
            size += len(data)
            if size > ANSWER_LIMIT:
                raise ServerGone(f"the answer is larger than {ANSWER_LIMIT} bytes")
            try:
                messages = self._client.receive(data)
            except sansldap.ProtocolError as error:
                raise ServerGone(str(error)) from error
            for message in messages:
                if isinstance(message, kind):
                    return message
                if isinstance(message, sansldap.SearchResultEntry) and entries is not None:
                    entries.append(_entry(message))

    async def aclose(self) -> None:
        with contextlib.suppress(sansldap.LDAPError, OSError, RuntimeError):
            self._client.unbind()
            self._writer.write(self._client.data_to_send())
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):  # RuntimeError: the loop has ended
            self._writer.close()
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._writer.wait_closed()


def _entry(message: sansldap.SearchResultEntry) -> Entry:
    found = dict[str, tuple[str, ...]]()
    for attribute in message.attributes:
        values = tuple(value.decode("utf-8", "surrogateescape") for value in attribute.values)
        found[attribute.name] = found.get(attribute.name, ()) + values
    return Entry(message.object_name, found)


def describe(result: sansldap.LDAPResult) -> str:
    """A result for the log: its number, name and the server's words."""
    code = result.result_code
    words = " ".join(result.diagnostics_message.split())
    return f"{code.value} ({code.name.lower().replace('_', ' ')}{': ' + words if words else ''})"


def parse_filter(text: str) -> LDAPFilter:
    """A filter as RFC 4515 writes it. Raises ValueError."""
    try:
        return LDAPFilter.from_string(text)
    except UnicodeError as error:
        raise ValueError("not UTF-8") from error


def bind_filter(template: LDAPFilter, fill: Callable[[str], str | None]) -> LDAPFilter | None:
    """The filter with fill() applied to each value in it; None when one cannot be filled.

    Values are put into the parsed filter, so whatever stands in them, its structure stays.
    """

    def value(data: bytes | None) -> bytes | None:
        if data is None:
            return None
        text = fill(data.decode("utf-8", "surrogateescape"))
        if text is None:
            raise LookupError
        return text.encode("utf-8", "surrogateescape")

    def bound(part: Any) -> Any:
        match part:
            case sansldap.FilterAnd() | sansldap.FilterOr():
                return replace(part, filters=[bound(inner) for inner in part.filters])
            case sansldap.FilterNot():
                return replace(part, filter=bound(part.filter))
            case sansldap.FilterSubstrings():
                between = [value(data) or b"" for data in part.any]
                return replace(part, initial=value(part.initial), any=between, final=value(part.final))
            case sansldap.FilterPresent():
                return part
            case _:
                return replace(part, value=value(part.value))

    try:
        found: LDAPFilter = bound(template)
    except LookupError:
        return None
    return found
