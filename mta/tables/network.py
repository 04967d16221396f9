"""Tables behind a socket: tcp: (tcp_table(5)) and socketmap: (socketmap_table(5))."""

import asyncio
import contextlib
import re
from urllib.parse import unquote_to_bytes

from mta.config.mastercf import split_endpoint
from mta.tables.base import Options, SpecError, Table, TableError

# socketmap_table(5): requests and replies are at most this many bytes; tcp_table(5) keeps to 4096.
SOCKETMAP_LIMIT = 100_000
TCP_LIMIT = 4096
# How long a server may take for one answer, in seconds (socketmap_table(5): 100 s).
TIMEOUT = 100.0
CONNECT_TIMEOUT = 10.0
_LENGTH = re.compile(rb"[0-9]{1,6}")
_TCP_PLAIN = frozenset(
    b"!\"#$&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class SocketTable(Table):
    """A table whose server is asked over one connection, kept open and made again when it breaks."""

    limit = TCP_LIMIT

    def __init__(self, name: str, endpoint: str) -> None:
        super().__init__(name)
        self.endpoint = endpoint
        self._streams: Streams | None = None
        self._turn = asyncio.Lock()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> str | None:
        """One question and answer on an open connection. Raises TableError."""
        raise TypeError("ask() belongs to the table type")

    async def lookup(self, key: str) -> str | None:
        async with self._turn:
            # A connection that the server closed in the meantime shows only when used: then try once more.
            attempts = 1 if self._streams is None else 2
            while True:
                attempts -= 1
                try:
                    return await self._attempt(key)
                except TimeoutError as error:
                    raise TableError(f"{self.name}: server does not answer in time") from error
                except (OSError, EOFError) as error:
                    if not attempts:
                        raise TableError(f"{self.name}: {error}") from error

    async def _attempt(self, key: str) -> str | None:
        try:
            if self._streams is None:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    self._streams = await self._connect()
            async with asyncio.timeout(TIMEOUT):
                return await self.ask(*self._streams, key)
        except BaseException:
            # Also on cancellation: a half-read answer must never be taken for the next one's.
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection."""
        streams, self._streams = self._streams, None
        if streams:
            with contextlib.suppress(RuntimeError):
                streams[1].close()

    async def aclose(self) -> None:
        streams = self._streams
        self.close()
        if streams:
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()

    async def _connect(self) -> Streams:
        kind, _, rest = self.endpoint.partition(":")
        if kind == "unix":
            return await asyncio.open_unix_connection(rest, limit=self.limit)
        host, port = split_endpoint(rest)
        return await asyncio.open_connection(host, port, limit=self.limit)


class TcpTable(SocketTable):
    """tcp:host:port: `get KEY` lines, replies 200 VALUE, 500 (not found), 400 (try later), all %XX-quoted."""

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> str | None:
        request = b"get " + _tcp_quote(key) + b"\n"
        if len(request) > TCP_LIMIT:
            return None
        writer.write(request)
        await writer.drain()
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise EOFError("reply is too long") from error
        except asyncio.IncompleteReadError as error:
            raise EOFError("server closed the connection") from error
        code, text = line[:3], line[4:].rstrip(b"\r\n")
        if code == b"200":
            return unquote_to_bytes(text).decode("utf-8", "surrogateescape")
        if code == b"500":
            return None
        raise TableError(f"{self.name}: server answers {code.decode('ascii', 'replace')}")


def _tcp_quote(key: str) -> bytes:
    data = key.encode("utf-8", "surrogateescape")
    return b"".join(bytes([c]) if c in _TCP_PLAIN else b"%%%02X" % c for c in data)


class SocketmapTable(SocketTable):
    """socketmap:inet:host:port:name and socketmap:unix:path:name: netstrings `name KEY`, `OK value` and so on."""

    limit = SOCKETMAP_LIMIT

    def __init__(self, name: str, endpoint: str, map_name: str) -> None:
        super().__init__(name, endpoint)
        self.map_name = map_name

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> str | None:
        request = f"{self.map_name} {key}".encode("utf-8", "surrogateescape")
        if len(request) > SOCKETMAP_LIMIT:
            return None
        writer.write(b"%d:%s," % (len(request), request))
        await writer.drain()
        status, _, text = (await _read_netstring(reader)).partition(b" ")
        value = text.decode("utf-8", "surrogateescape")
        if status == b"OK":
            return value
        if status == b"NOTFOUND":
            return None
        if status in (b"TEMP", b"TIMEOUT", b"PERM"):
            raise TableError(f"{self.name}: server answers {status.decode()}: {value}")
        raise EOFError("malformed server reply")


async def _read_netstring(reader: asyncio.StreamReader) -> bytes:
    length = b""
    while not length.endswith(b":"):
        if len(length) > 7:
            raise EOFError("netstring length is too long")
        length += await reader.readexactly(1)
    if not _LENGTH.fullmatch(length[:-1]) or int(length[:-1]) > SOCKETMAP_LIMIT:
        raise EOFError("bad netstring length")
    data = await reader.readexactly(int(length[:-1]) + 1)
    if not data.endswith(b","):
        raise EOFError("bad netstring end")
    return data[:-1]


def open_tcp(name: str, _options: Options) -> Table:
    """tcp:host:port. Raises SpecError."""
    endpoint = name.partition(":")[2]
    try:
        host, _port = split_endpoint(endpoint)
    except ValueError as error:
        raise SpecError(f"{name}: {error}") from error
    if not host:
        raise SpecError(f'{name}: need "tcp:host:port"')
    return TcpTable(name, f"inet:{endpoint}")


def open_socketmap(name: str, _options: Options) -> Table:
    """socketmap:inet:host:port:name or socketmap:unix:pathname:name. Raises SpecError."""
    endpoint, colon, map_name = name.partition(":")[2].rpartition(":")
    kind, _, rest = endpoint.partition(":")
    if not colon or not map_name or kind not in ("inet", "unix") or not rest:
        raise SpecError(f'{name}: need "socketmap:inet:host:port:name" or "socketmap:unix:path:name"')
    if kind == "inet":
        try:
            host, _port = split_endpoint(rest)
        except ValueError as error:
            raise SpecError(f"{name}: {error}") from error
        if not host:
            raise SpecError(f'{name}: need "socketmap:inet:host:port:name"')
    return SocketmapTable(name, endpoint, map_name)
