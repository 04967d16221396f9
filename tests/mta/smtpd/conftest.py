"""An SMTP server on a loopback port with doubles for DNS and queue, and a client that reads as a dialogue."""

from __future__ import annotations

import asyncio
import fnmatch
import socket
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.dns import Answer, NotFound, Record, Resolver, TempFail
from mta.queue import NewMessage
from mta.smtpd.connection import Connection
from mta.smtpd.server import Server

MAIN_CF = """
compatibility_level = 3.6
myhostname = mx.example.com
mydomain = example.com
mydestination = $myhostname, localhost, $mydomain
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
alias_maps =
alias_database =
local_recipient_maps = inline:{alice=x, bob=x, postmaster=x}
smtpd_error_sleep_time = 0s
smtpd_timeout = 5s
"""


class FakeQueue:
    """Keeps messages in a list. `failure` is raised by put when it is set."""

    def __init__(self) -> None:
        self.messages: list[NewMessage] = []
        self.failure: Exception | None = None
        self.ids = 0

    def new_id(self) -> str:
        self.ids += 1
        return f"QID{self.ids}"

    def check_space(self, size: int = 0) -> None:
        if self.failure is not None:
            raise self.failure

    async def put(self, message: NewMessage) -> str:
        if self.failure is not None:
            raise self.failure
        self.messages.append(message)
        return message.queue_id


class FakeDns(Resolver):
    """Answers from a table: `name TYPE value`; `name SERVFAIL` fails temporarily."""

    def __init__(self, records: str) -> None:
        super().__init__()
        self.records: dict[tuple[str, str], list[Record]] = {}
        self.failing: set[str] = set()
        for line in records.split("\n"):
            words = line.split(None, 2)
            if len(words) == 2:
                self.failing.add(words[0])
            elif words:
                name, kind, value = words
                preference, _, host = value.rpartition(" ") if kind == "MX" else ("0", "", value)
                self.records.setdefault((name, kind), []).append(Record(kind, host.rstrip("."), int(preference)))

    async def query(self, name: str, kind: str) -> Answer:
        name = name.lower()
        if any(name == failing or name.endswith(f".{failing}") for failing in self.failing):
            raise TempFail(name, kind, "try again")
        if (name, kind) in self.records:
            return Answer(name, tuple(self.records[name, kind]), False)
        raise NotFound(name, kind, "not found", exists=any(known == name for known, _ in self.records))


class Client:
    """One connection. `say` is a transcript: `C: ` lines are sent, `S: ` lines (with `*`) must come back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def reply(self) -> str:
        """One reply, its lines joined by `|`; empty when the server has hung up."""
        lines = []
        async with asyncio.timeout(10):
            while line := (await self.reader.readline()).decode("utf-8", "replace").removesuffix("\r\n"):
                lines.append(line)
                if line[3:4] != "-":
                    break
        return "|".join(lines)

    async def say(self, transcript: str) -> None:
        for line in transcript.strip().split("\n"):
            side, _, text = line.strip().partition(":")
            text = text.removeprefix(" ")
            if side == "C":
                await self.send(text.encode("utf-8") + b"\r\n")
            elif side == "S":
                reply = await self.reply()
                assert fnmatch.fnmatchcase(reply, text.replace("[", "[[]")), f"wanted {text!r}, got {reply!r}"
            else:
                raise AssertionError(f"neither C nor S: {line}")

    async def closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


class Site:
    """A running server with what it has queued."""

    connection_class = Connection

    def __init__(self, server: Server, queue: FakeQueue, port: int) -> None:
        self.server, self.queue, self.port = server, queue, port
        self.clients: list[Client] = []

    async def connect(self, source: str = "127.0.0.1") -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    async def say(self, transcript: str, source: str = "127.0.0.1") -> Client:
        """A whole session on a new connection, the greeting included."""
        client = await self.connect(source)
        assert (await client.reply()).startswith("220")
        await client.say(transcript)
        return client


StartSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartSite]:
    """`await start("smtpd_helo_required = yes", dns="a.example A 1.2.3.4")`; several sites may run at once."""
    sites: list[Site] = []
    listeners: list[asyncio.Server] = []

    async def start_site(settings: str = "", *, dns: str = "", **files: str) -> Site:
        confdir = tmp_path / f"conf{len(sites)}"
        confdir.mkdir()
        for name, text in files.items():
            (confdir / name).write_text(text)
        lines = textwrap.dedent(settings.replace("CONFDIR", str(confdir)))
        (confdir / "main.cf").write_text(f"queue_directory = {tmp_path}\n{MAIN_CF}\n{lines}\n")
        queue = FakeQueue()
        server = Server.from_config(MainConfig.load(confdir), queue, dns=FakeDns(dns))
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, family=socket.AF_INET)
        listeners.append(listener)
        site = Site(server, queue, listener.sockets[0].getsockname()[1])
        sites.append(site)
        return site

    yield start_site
    for site in sites:
        for client in site.clients:
            client.writer.transport.abort()
        for connection in tuple(site.server.connections):
            connection.close_politely()
        while tasks := {connection.task for connection in site.server.connections}:
            await asyncio.wait(tasks)
        await site.server.close()
    for listener in listeners:
        listener.close()
    for _ in range(3):  # transports let go of their sockets in the loop's next rounds
        await asyncio.sleep(0)
