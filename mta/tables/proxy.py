"""proxy: tables: asked of proxymap(8) over its socket where it runs, else opened in this process."""

import asyncio
import logging
import re
from pathlib import Path

from mta.proxymap.protocol import DEFAULT_FLAGS, GREETING, ProtocolError, Reader, Status, encode, number
from mta.tables.base import Options, SpecError, Table, TableError
from mta.tables.server import Connection, QueryRefused, ServerGone, ServerTable

log = logging.getLogger("postfix.tables")

CHUNK = 1 << 16
# proxymap itself waits for servers behind its tables: longer than they may take (mta.tables.server).
ANSWER_TIMEOUT = 100.0
# Types that match patterns; parts of addresses are not asked of them.
_PATTERNS = frozenset(["regexp", "pcre", "cidr", "randmap"])
_COMBINED = re.compile(r"(?:(?:unionmap|pipemap|proxy):[{\s]*)*([a-z0-9_]+):", re.IGNORECASE)

Attributes = dict[str, str]


class ProxyConnection(Connection[Attributes, Attributes]):
    """One connection to proxymap."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = Reader()

    @classmethod
    async def open(cls, path: Path) -> "ProxyConnection":
        """Connect and check that a proxymap is there. Raises ServerGone, OSError."""
        connection = cls(*await asyncio.open_unix_connection(path))
        try:
            if await connection._receive() != GREETING:
                raise ServerGone("this is no proxymap service")
        except BaseException:
            await connection.aclose()
            raise
        return connection

    async def ask(self, request: Attributes) -> Attributes:
        try:
            message = encode(request)
        except ValueError as error:
            raise QueryRefused(str(error)) from error
        self._writer.write(message)
        await self._writer.drain()
        return await self._receive()

    async def _receive(self) -> Attributes:
        while True:
            data = await self._reader.read(CHUNK)
            if not data:
                raise ServerGone("proxymap closed the connection")
            try:
                found = self._incoming.feed(data)
            except ProtocolError as error:
                raise ServerGone(str(error)) from error
            if len(found) > 1:
                raise ServerGone("proxymap answers more than it was asked")
            if found:
                return found[0]

    async def aclose(self) -> None:
        try:
            self._writer.close()
        except RuntimeError:  # the loop has ended
            log.debug("connection to proxymap was left open")


class ProxyTable(ServerTable[Attributes, Attributes]):
    """A table that proxymap has opened."""

    def __init__(self, name: str, inner: str, path: Path) -> None:
        super().__init__(name, [str(path)], answer_timeout=ANSWER_TIMEOUT)
        self._inner = inner
        self._path = path
        match = _COMBINED.match(inner)
        self.exact = match is None or match[1].lower() not in _PATTERNS

    async def connect(self, host: str) -> ProxyConnection:
        return await ProxyConnection.open(self._path)

    async def lookup(self, key: str) -> str | None:
        if "\0" in key or len(key) > _KEY_LIMIT:
            return None
        reply = await self._request("lookup", key=key)
        return reply.get("value", "") if self._found(reply, key) else None

    async def update(self, key: str, value: str) -> None:
        self._found(await self._request("update", key=key, value=value), key)

    async def delete(self, key: str) -> bool:
        return self._found(await self._request("delete", key=key), key)

    async def _request(self, kind: str, **attributes: str) -> Attributes:
        flags = str(int(DEFAULT_FLAGS))
        return await self.ask({"request": kind, "table": self._inner, "flags": flags, **attributes})

    def _found(self, reply: Attributes, key: str) -> bool:
        """Whether the key was there. Raises TableError."""
        try:
            status = Status(number(reply.get("status")))
        except (ProtocolError, ValueError) as error:
            raise TableError(f"{self.name}: malformed answer of proxymap") from error
        match status:
            case Status.OK:
                return True
            case Status.NOKEY:
                return False
            case Status.DENY:
                raise TableError(f"{self.name}: proxymap does not serve this table: is it listed in proxy_read_maps?")
            case _:
                raise TableError(f"{self.name}: proxymap cannot answer for {key!r} now")


_KEY_LIMIT = 110_000


def open_proxy(name: str, options: Options) -> Table:
    """proxy:type:name. Raises SpecError.

    The table is opened in this process where no proxymap runs (tools, a configuration without that service).
    """
    inner = name.partition(":")[2]
    while inner.startswith("proxy:"):
        inner = inner.partition(":")[2]
    if ":" not in inner:
        raise SpecError(f'expecting "proxy:type:name" form instead of "{name}"')
    if options.proxy is None:
        return options.open(inner)
    return ProxyTable(name, inner, options.proxy)
