"""A mail system that verifies addresses, and the next server that knows them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.queue import Queue, layout, service
from mta.smtpd.connection import Connection
from mta.smtpd.server import Server
from mta.verify.client import VerifyClient
from mta.verify.protocol import Fate

MAIN = """
compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}
myhostname = front.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
relay_domains = b.example
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0s
smtpd_recipient_restrictions = reject_unverified_recipient, permit
relayhost = [127.0.0.1]:1
address_verify_relayhost = [127.0.0.1]:{port}
address_verify_relay_transport = relay:[127.0.0.1]:{port}
address_verify_poll_delay = 1s
virtual_alias_maps = inline:{{ {{alias@b.example=yes@b.example}}, {{pair@b.example=no@b.example x@b.example}} }}
"""
MASTER = """
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
discard unix - - n - - discard
retry unix - - n - - error
verify unix - - n - 1 verify
"""
SAYS = {"no@": "550 5.1.1 no such user", "late@": "450 4.2.1 come again"}


@dataclass
class Bound:
    socket: socket.socket
    tag: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Stack:
    """The next server's log, the configuration, and a client of our server."""

    config: MainConfig
    heard: list[str]
    server: Server
    port: int

    async def rcpt(self, address: str, sender: str = "me@b.example") -> str:
        """The reply to RCPT."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"HELO x\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<{address}>\r\nQUIT\r\n".encode())
        async with asyncio.timeout(10):
            lines = (await reader.read()).decode().split("\r\n")
        writer.close()
        return lines[3]

    async def known(self, address: str) -> tuple[Fate, str]:
        """What the service knows once the probe has ended."""
        client = VerifyClient(Path(self.config.str("queue_directory"), "private", "verify"))
        try:
            async with asyncio.timeout(10):
                while (answer := await client.ask(address))[0] is Fate.UNKNOWN:
                    await asyncio.sleep(0.01)
        finally:
            client.close()
        return answer


@pytest.fixture
async def heard() -> AsyncIterator[tuple[list[str], int]]:
    """A server that notes what it is told, and its port."""
    lines: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 next\r\n")
        while line := (await reader.readline()).decode().strip():
            lines.append(line)
            said = next((said for who, said in SAYS.items() if who in line and line.startswith("RCPT")), "250 2.1.5 ok")
            writer.write(f"{'354 go' if line == 'DATA' else said}\r\n".encode())
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield lines, listener.sockets[0].getsockname()[1]
    listener.close()


@pytest.fixture
async def stack(stack_with: Callable[[str], Awaitable[Stack]]) -> Stack:
    """With nothing further set."""
    return await stack_with("")


@pytest.fixture
async def stack_with(
    tmp_path: Path, place: Path, heard: tuple[list[str], int]
) -> AsyncIterator[Callable[[str], Awaitable[Stack]]]:
    """Starts one with more settings."""
    async with AsyncExitStack() as running:

        async def start(settings: str) -> Stack:
            return await running.enter_async_context(_running(tmp_path, place, heard, settings))

        yield start
    for _ in range(3):
        await asyncio.sleep(0)


@asynccontextmanager
async def _running(tmp_path: Path, place: Path, heard: tuple[list[str], int], settings: str) -> AsyncIterator[Stack]:
    (tmp_path / "main.cf").write_text(MAIN.format(place=place, port=heard[1]) + settings)
    (tmp_path / "master.cf").write_text(MASTER)
    config = MainConfig.load(tmp_path)
    layout.prepare(place / "spool")
    bound = [
        Bound(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), "qmgr"),
        Bound(socket.socket(socket.AF_UNIX), "verify"),
    ]
    for each, path in zip(bound, ("public/qmgr", "private/verify"), strict=True):
        each.socket.bind(str(place / "spool" / path))
        each.socket.setblocking(False)
    bound[1].socket.listen()
    drain, ready = asyncio.Event(), asyncio.Event()
    manager = asyncio.create_task(service.prepare(config, bound)(drain, ready.set))
    await ready.wait()
    queue = Queue.from_config(config)
    server = Server.from_config(config, queue)
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
    yield Stack(config, heard[0], server, listener.sockets[0].getsockname()[1])
    listener.close()
    while tasks := {connection.task for connection in server.connections}:
        await asyncio.wait(tasks)
    await server.close()
    drain.set()
    await manager
    queue.close()
    asyncio.get_running_loop().remove_reader(bound[0].socket)
    for each in bound:
        each.socket.close()
