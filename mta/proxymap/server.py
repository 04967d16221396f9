"""proxymap's answers: a request becomes a lookup in a table that was opened once, whoever asks."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from mta.config import MainConfig
from mta.proxymap.access import Approved, plain
from mta.proxymap.protocol import DEFAULT_FLAGS, GREETING, Flags, ProtocolError, Reader, Status, encode, number
from mta.tables import SpecError, Table, TableError, open_table

log = logging.getLogger("postfix.proxymap")

CHUNK = 1 << 16
FIRST, NEXT = "0", "1"

Attributes = dict[str, str]


class Tables:
    """The open tables, by name."""

    def __init__(self, config: MainConfig) -> None:
        self._config = config
        self._aliases = {plain(name) for name in (*config.list("alias_maps"), *config.list("alias_database"))}
        self._open: dict[str, Table] = {}

    def get(self, name: str) -> Table:
        """A table, opened at its first use. Raises SpecError."""
        table = self._open.get(name)
        if table is None:
            aliases = name in self._aliases
            table = self._open[name] = open_table(name, self._config, aliases=aliases, through_proxy=False)
        return table

    async def aclose(self) -> None:
        """Close them all."""
        for table in self._open.values():
            await table.aclose()


class Server:
    """One of the two services: proxymap, which reads, or proxywrite, which also changes tables."""

    def __init__(self, tables: Tables, approved: Approved, *, write: bool) -> None:
        self._tables = tables
        self._approved = approved
        self._write = write

    def open_all(self) -> None:
        """Open the approved tables now, while their files can be reached; what is wrong with one is logged."""
        for name in self._approved:
            try:
                self._tables.get(name)
            except SpecError as error:
                log.error("%s", error)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes or breaks the protocol."""
        incoming, cursor = Reader(), Cursor()
        try:
            writer.write(encode(GREETING))
            while data := await reader.read(CHUNK):
                for request in incoming.feed(data):
                    writer.write(_message(await self.answer(request, cursor), request))
                await writer.drain()
        except ProtocolError as error:
            log.warning("%s", error)
        except OSError as error:
            log.debug("client went away: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answer(self, request: Attributes, cursor: "Cursor") -> Attributes:
        """The reply to one request."""
        kind = request.get("request", "")
        names = REPLIES.get(kind)
        if names is None:
            log.warning('unrecognized request: "%s", ignored', kind[:100])
            return _reply(Status.BAD)
        missing = [name for name in REQUESTS[kind] if name not in request]
        if missing:
            log.warning("missing attribute %s in input from proxymap socket", missing[0])
            return _reply(Status.BAD, *names)
        name = plain(request["table"])
        number(request["flags"])
        if kind in ("update", "delete") and not self._write:
            log.warning("refusing %s %s request on non-proxywrite service", name, kind)
            return _reply(Status.DENY, *names)
        if name not in self._approved:
            self._approved.refuse(name)
            return _reply(Status.DENY, *names)
        try:
            return await self._ask(kind, self._tables.get(name), request, cursor)
        except SpecError as error:
            log.error("%s", error)
            return _reply(Status.CONFIG, *names)
        except TableError as error:
            log.warning("%s", error)
            return _reply(Status.RETRY, *names)

    async def _ask(self, kind: str, table: Table, request: Attributes, cursor: "Cursor") -> Attributes:
        """Raises TableError."""
        match kind:
            case "open":
                return _reply(
                    Status.OK, flags=str(int(DEFAULT_FLAGS | (Flags.FIXED if table.exact else Flags.PATTERN)))
                )
            case "lookup":
                value = await table.lookup(request["key"]) if request["key"] else None
                return _reply(Status.NOKEY, "value") if value is None else _reply(Status.OK, value=value)
            case "update":
                await table.update(request["key"], request["value"])
                return _reply(Status.OK)
            case "delete":
                return _reply(Status.OK if await table.delete(request["key"]) else Status.NOKEY)
            case _:
                found = cursor.step(table, request["function"])
                if found is None:
                    return _reply(Status.NOKEY, "key", "value")
                return _reply(Status.OK, key=found[0], value=found[1])


class Cursor:
    """How far a client has come in listing a table."""

    def __init__(self) -> None:
        self._name = ""
        self._entries: Iterator[tuple[str, str]] = iter(())

    def step(self, table: Table, function: str) -> tuple[str, str] | None:
        """The first or the next entry; None at the end. Raises TableError."""
        if function == FIRST or self._name != table.name:
            self._name, self._entries = table.name, iter(table.sequence())
        return next(self._entries, None)


# What a request must bring, and which attributes beside `status` its reply has.
REQUESTS = {
    "open": ("table", "flags"),
    "lookup": ("table", "flags", "key"),
    "update": ("table", "flags", "key", "value"),
    "delete": ("table", "flags", "key"),
    "sequence": ("table", "flags", "function"),
}
REPLIES: dict[str, tuple[str, ...]] = {
    "open": ("flags",),
    "lookup": ("value",),
    "update": (),
    "delete": (),
    "sequence": ("key", "value"),
}


def _message(reply: Attributes, request: Attributes) -> bytes:
    """A reply on the wire; a value that the protocol cannot carry is an error of the table, not of the connection."""
    try:
        return encode(reply)
    except ValueError as error:
        log.warning("%s: %s", request.get("table", ""), error)
        return encode(_reply(Status.RETRY, *REPLIES.get(request.get("request", ""), ())))


def _reply(status: Status, *empty: str, **attributes: str) -> Attributes:
    """A reply; attributes in `empty` are there without a value (flags: 0)."""
    return {"status": str(int(status)), **{name: "0" if name == "flags" else "" for name in empty}, **attributes}
