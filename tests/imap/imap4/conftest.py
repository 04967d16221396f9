"""A client of an IMAP session that needs no socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from imap.imap4.session import Session
from imap.imap4.settings import Settings

MAIL = b"Date: Mon, 06 Nov 2023 10:11:12 +0100\r\nFrom: Alice <alice@a.test>\r\nSubject: one\r\n\r\nHello\r\n"
OTHER = b"From: bob@b.test\r\nSubject: Re: one\r\nMessage-ID: <2@b>\r\n\r\nSecond\r\n"

MakeClient = Callable[..., Awaitable["Client"]]


class Client:
    """Sends commands and collects what is answered."""

    def __init__(self, session: Session, wire: Any) -> None:
        self.session = session
        self.wire = wire
        self.greeting = b""
        self._tags = 0

    def take(self) -> bytes:
        """Everything written since the last call."""
        data = bytes(self.wire.sent)
        self.wire.sent.clear()
        return data

    async def send(self, data: bytes) -> bytes:
        """Feed raw octets and give what was written once nothing is running any more."""
        self.session.receive(data)
        await self.settle()
        return self.take()

    async def settle(self) -> None:
        """Wait until no command runs, or one waits for the client."""
        async with asyncio.timeout(10):
            while self.session.busy and not (self.session.waits_for_line and b"+ " in self.wire.sent[-200:]):
                await asyncio.sleep(0)

    async def command(self, text: str | bytes) -> bytes:
        """One command; its untagged responses and, last, the tagged one."""
        self._tags += 1
        octets = text.encode() if isinstance(text, str) else text
        return await self.send(b"t%d %b\r\n" % (self._tags, octets))

    async def lines(self, text: str | bytes) -> list[str]:
        """As :meth:`command`, by line, times and tags taken out."""
        answer = (await self.command(text)).decode("utf-8", "surrogateescape")
        answer = re.sub(r" \(\d+\.\d{3} \+ 0\.000 secs\)", "", answer)
        return re.sub(r"(?m)^t\d+ ", "", answer).removesuffix("\r\n").split("\r\n")


@pytest.fixture
def mail_in(mail: Any) -> Callable[..., Any]:
    """Makes mail roots of their own, for tests that need one per example."""
    import sys

    make_mail = sys.modules[type(mail).__module__].make_mail

    async def imap_client(fresh: Any, user: str | None, messages: list[bytes]) -> Client:
        fresh.deliver("alice", *messages)
        wire = fresh.wire()
        session = Session(wire, await fresh.login("imap", wire), Settings())
        client = Client(session, wire)
        session.greet()
        if user is not None:
            await client.command(f"LOGIN {user} testpass")
            await client.command("SELECT INBOX")
        client.take()
        return client

    def make(directory: Any, extra: str = "") -> Any:
        fresh = make_mail(directory, extra)
        fresh.imap_client = lambda user, messages: imap_client(fresh, user, messages)
        return fresh

    return make


@pytest.fixture
async def connect(mail: Any) -> AsyncIterator[MakeClient]:
    """Makes clients: ``await connect()`` is logged in as alice, ``user=None`` is not logged in."""
    clients: list[Client] = []

    async def make(
        user: str | None = "alice", *, settings: Settings | None = None, wire: Any = None, **login: Any
    ) -> Client:
        wire = wire or mail.wire()
        session = Session(wire, await mail.login("imap", wire, **login), settings or Settings())
        client = Client(session, wire)
        clients.append(client)
        session.greet()
        client.greeting = client.take()
        if user is not None:
            answer = await client.command(f"LOGIN {user} testpass")
            assert b"Logged in" in answer, answer
        return client

    yield make
    for client in clients:
        client.session.lost()


@pytest.fixture
def imap_server(serve: Any) -> Callable[..., Awaitable[Any]]:
    """Starts IMAP on real sockets."""
    from imap.imap4.service import sessions

    def start(imap: Settings | None = None, **settings: Any) -> Awaitable[Any]:
        running: Awaitable[Any] = serve("imap", lambda service: sessions(service, imap or Settings()), **settings)
        return running

    return start


@pytest.fixture
async def selected(mail: Any, connect: Any) -> Any:
    """A client with INBOX selected, which holds two messages."""
    mail.deliver("alice", MAIL, OTHER)
    client = await connect()
    await client.command("SELECT INBOX")
    return client
