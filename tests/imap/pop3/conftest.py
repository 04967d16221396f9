"""A client of a POP3 session that needs no socket, and POP3 on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from imap.pop3.session import Session, Settings


class Client:
    """Sends commands and collects what is answered."""

    def __init__(self, session: Session, wire: Any) -> None:
        self.session = session
        self.wire = wire
        self.greeting = b""

    def take(self) -> bytes:
        """Everything written since the last call."""
        data = bytes(self.wire.sent)
        self.wire.sent.clear()
        return data

    async def send(self, data: bytes) -> bytes:
        """Feed raw octets and give what was written once nothing is running any more."""
        self.session.receive(data)
        async with asyncio.timeout(10):
            while self.session.busy and not self.wire.sent.endswith(b"+ \r\n"):
                await asyncio.sleep(0)
        return self.take()

    async def command(self, text: str) -> str:
        """One command and its reply."""
        return (await self.send(text.encode() + b"\r\n")).decode("latin-1").removesuffix("\r\n")


@pytest.fixture
async def connect(mail: Any) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Makes clients: ``await connect()`` is logged in as alice, ``user=None`` is not logged in."""
    clients: list[Client] = []

    async def make(user: str | None = "alice", *, wire: Any = None, **login: Any) -> Client:
        wire = wire or mail.wire()
        session = Session(wire, await mail.login("pop3", wire, **login), Settings())
        client = Client(session, wire)
        clients.append(client)
        session.greet()
        client.greeting = client.take()
        if user is not None:
            assert await client.command(f"USER {user}") == "+OK"
            assert await client.command("PASS testpass") == "+OK Logged in."
        return client

    yield make
    for client in clients:
        client.session.lost()


@pytest.fixture
def pop3_server(serve: Any) -> Callable[..., Awaitable[Any]]:
    """Starts POP3 on real sockets."""
    from imap.pop3.service import sessions

    def start(**settings: Any) -> Awaitable[Any]:
        running: Awaitable[Any] = serve("pop3", lambda service: sessions(service, Settings()), **settings)
        return running

    return start
