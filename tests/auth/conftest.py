"""Fixtures of the auth tests: configurations in temporary directories, and the service running on their sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from auth.dovecotconf import DovecotConfig
from auth.service import prepare

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("text", users="...")``: a dovecot.conf and files beside it; returns the path of dovecot.conf."""

    def make(text: str, **files: str) -> Path:
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        path = tmp_path / "dovecot.conf"
        path.write_text(text)
        return path

    return make


@dataclass
class Listening:
    """A socket as the supervisor hands it over."""

    socket: socket.socket
    tag: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Peer:
    """A client that speaks lines."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def line(self) -> list[str]:
        """The next line's words; [] at the end of the stream."""
        data = await asyncio.wait_for(self.reader.readline(), 10)
        return data.decode().rstrip("\n").split("\t") if data else []

    def say(self, *lines: str) -> None:
        """Send lines."""
        self.writer.write("".join(line + "\n" for line in lines).encode())

    async def greeting(self) -> dict[str, list[list[str]]]:
        """Read to DONE and answer with a version and a process id."""
        found: dict[str, list[list[str]]] = {}
        while (words := await self.line())[0] != "DONE":
            found.setdefault(words[0], []).append(words[1:])
        self.say("VERSION\t1\t2", "CPID\t4711")
        return found


@dataclass
class Running:
    """A running auth service."""

    directory: Path
    peers: list[Peer]

    def path(self, name: str) -> Path:
        """The path of one of its sockets."""
        return self.directory / name

    async def connect(self, name: str = "auth-client", *, greet: bool = True) -> Peer:
        """A connection, its greeting done with."""
        peer = Peer(*await asyncio.open_unix_connection(self.path(name)))
        self.peers.append(peer)
        if greet and name == "auth-client":
            await peer.greeting()
        elif greet:
            await peer.line()
            await peer.line()
            peer.say("VERSION\t1\t1")
        return peer


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(write: Write, tmp_path: Path) -> AsyncIterator[Start]:
    """``await start("passdb {...}", users="...")``: the service, stopped when the test ends."""
    services: list[tuple[asyncio.Task[None], asyncio.Event]] = []
    sockets: list[Listening] = []
    peers: list[Peer] = []

    async def make(text: str, **files: str) -> Running:
        head = f"base_dir = {tmp_path}\nauth_failure_delay = 0\n"
        config = DovecotConfig.load(write(head + text, **files))
        for tag in ("auth-client", "auth-userdb", "auth-login", "auth-master"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(tmp_path / tag))
            listener.listen(64)
            listener.setblocking(False)
            sockets.append(Listening(listener, tag, {"mode": "600"}))
        drain, ready = asyncio.Event(), asyncio.Event()

        async def run() -> None:
            await prepare(config, sockets)(drain, ready.set)

        task = asyncio.create_task(run())
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        services.append((task, drain))
        return Running(tmp_path, peers)

    yield make
    for peer in peers:
        peer.writer.close()
    for task, drain in services:
        drain.set()
        await asyncio.wait_for(task, 10)
    for listening in sockets:
        listening.socket.close()
