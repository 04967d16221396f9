"""A server that plays by a script, and a client agent pointed at it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.delivery.request import Request
from mta.delivery.result import Result, Times
from mta.delivery.smtp.agent import SmtpAgent
from mta.delivery.smtp.client import Tools
from mta.delivery.smtp.sasl import SaslSettings
from mta.delivery.smtp.settings import ClientSettings, Timeouts
from mta.delivery.smtp.tlspolicy import PolicyTable
from mta.delivery.smtp.tlssettings import TlsDefaults
from mta.dns import NotFound
from mta.queue.message import Notify, QueuedMessage, QueuedRecipient, QueueName, Recipient
from tls.authority import Authority

KEYWORDS = ("PIPELINING", "SIZE 1000000", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN")


@dataclass
class Peer:
    """An SMTP or LMTP server. `replies` maps what a command starts with to the reply's lines, or to a callable."""

    greeting: str | None = "220 peer.example ESMTP"
    keywords: tuple[str, ...] = KEYWORDS
    replies: dict[str, str] = field(default_factory=dict)
    after_data: list[str] = field(default_factory=lambda: ["250 2.0.0 Ok: queued"])
    tls: ssl.SSLContext | None = None
    wrapper: bool = False
    inject: bytes = b""
    """Sent in clear text behind the go-ahead of STARTTLS."""
    spoil: bool = False
    """Agree to STARTTLS, then answer the handshake with what is no TLS."""
    hang_up_at: str = ""
    lmtp: bool = False
    # What happened.
    commands: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    connections: int = 0
    encrypted: list[bool] = field(default_factory=list)
    resumed: list[bool] = field(default_factory=list)
    """Of each TLS session whether it was resumed."""
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted, accepted = self.wrapper, 0
        if self.greeting is None:
            return
        writer.write(self.greeting.encode() + b"\r\n")
        while line := await reader.readline():
            command = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            self.commands.append(command)
            verb = command.split(" ")[0].upper()
            if self.hang_up_at and command.startswith(self.hang_up_at):
                return
            scripted = next((reply for start, reply in self.replies.items() if command.startswith(start)), None)
            if verb == "RCPT" and (scripted or "2").startswith("2"):
                accepted += 1
            if scripted is not None:
                writer.write(scripted.encode() + b"\r\n")
            elif verb in ("EHLO", "LHLO"):
                starttls = (self.tls is not None or self.spoil) and not encrypted
                words = ["peer.example", *self.keywords, *(["STARTTLS"] if starttls else [])]
                lines = [f"250{' ' if n == len(words) - 1 else '-'}{word}" for n, word in enumerate(words)]
                writer.write("\r\n".join(lines).encode() + b"\r\n")
            elif verb == "STARTTLS" and self.spoil:
                writer.write(b"220 2.0.0 go ahead\r\n")
                await reader.read(1)
                writer.write(b"this is no TLS\r\n")
                return
            elif verb == "STARTTLS":
                assert self.tls is not None
                writer.write(b"220 2.0.0 go ahead\r\n" + self.inject)
                await writer.start_tls(self.tls)
                encrypted = True
            elif verb == "DATA" and accepted:
                writer.write(b"354 go on\r\n")
                await self._take_content(reader, writer, accepted)
                self.encrypted.append(encrypted)
                if (tls := writer.get_extra_info("ssl_object")) is not None:
                    self.resumed.append(tls.session_reused)
                accepted = 0
            elif verb == "DATA":
                writer.write(b"554 5.5.1 no valid recipients\r\n")
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                accepted = accepted if verb == "RCPT" else 0
                writer.write(b"250 2.1.0 Ok\r\n")

    async def _take_content(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, accepted: int) -> None:
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                return
            lines.append(line)
        self.contents.append(b"".join(lines))
        replies = self.after_data if self.lmtp else self.after_data[:1]
        for number in range(accepted if self.lmtp else 1):
            writer.write(replies[number % len(replies)].encode() + b"\r\n")

    async def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def verbs(self) -> list[str]:
        return [command.split(" ")[0] for command in self.commands]


StartPeer = Callable[..., Awaitable[Peer]]


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[StartPeer]:
    running: list[tuple[asyncio.Server, Peer]] = []

    async def start(path: Path | None = None, **script: object) -> Peer:
        made = Peer(**script)
        context = made.tls if made.wrapper else None
        if path is not None:
            server = await asyncio.start_unix_server(made.serve, path)
        else:
            server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
            made.port = server.sockets[0].getsockname()[1]
        running.append((server, made))
        return made

    yield start
    for server, made in running:
        server.close()
        await made.end()
        await server.wait_closed()


class Names:
    """A DNS of its own."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[str]] = {"mail.example.org": ["127.0.0.1"]}
        self.mx: dict[str, list[tuple[int, str]]] = {}

    async def mail_exchangers(self, name: str) -> list[tuple[int, str]]:
        return self.mx.get(name, [(0, name)])

    async def addresses(self, name: str, *, ipv4: bool = True, ipv6: bool = True, native: bool = False) -> list[str]:
        found = [a for a in self.hosts.get(name, []) if (":" in a and ipv6) or (":" not in a and ipv4)]
        if not found:
            raise NotFound(name, "A", "Host or domain name not found", exists=False)
        return found


class Table(dict[str, str]):
    """A lookup table in memory."""

    async def lookup(self, key: str) -> str | None:
        return self.get(key)


@pytest.fixture
def names() -> Names:
    return Names()


MakeAgent = Callable[..., SmtpAgent]


@pytest.fixture
async def agent(names: Names) -> AsyncIterator[MakeAgent]:
    made: list[SmtpAgent] = []

    def make(
        *, tls: TlsDefaults | None = None, policies: Table | None = None, passwords: Table | None = None, **more: object
    ) -> SmtpAgent:
        sasl = more.pop("sasl", None)
        generic = more.pop("generic", None)
        reply_filter, refusals = more.pop("reply_filter", None), more.pop("refusals", None)
        timeouts = Timeouts(5, 5, 5, 5, 5, 5, 5, 5, 5, 5)
        settings = ClientSettings(myhostname="mx.here", helo_name="mx.here", timeouts=timeouts, **more)
        table = PolicyTable(tls or TlsDefaults(level="may"), policies)
        tools = Tools(names, table, sasl or SaslSettings(), passwords, generic)
        tools.reply_filter, tools.refusals = reply_filter, refusals
        made.append(SmtpAgent(settings, tools))
        return made[-1]

    yield make
    for each in made:
        await each.close()


CONTENT = b"From: alice@example.org\r\nSubject: test\r\n\r\nbody\r\n.dot\r\n"


@pytest.fixture
def request_to() -> Callable[..., Request]:
    def make(
        nexthop: str,
        *recipients: str | Recipient,
        content: bytes = CONTENT,
        more: bool = False,
        waited: float = 0.0,
        **message: object,
    ):
        now = time.time()
        to = [each if isinstance(each, Recipient) else Recipient(each) for each in recipients or ("bob@example.net",)]
        queued = QueuedMessage(
            **{
                "sequence": 1,
                "queue_id": "ABCDEF0",
                "queue": QueueName.INCOMING,
                "sender": "alice@example.org",
                "arrival": 0.0,
                "size": len(content),
                "next_attempt": 0.0,
                "warned": False,
                "ret": "",
                "envid": "",
                "body": "",
                "smtputf8": False,
                "filter": "",
                "attributes": {},
                "recipients": [QueuedRecipient(n, each.completed()) for n, each in enumerate(to)],
                "recipient_count": len(to),
            }
            | message
        )
        return Request(queued, queued.recipients, lambda: content, nexthop, Times(now - waited, now), lambda: more)

    return make


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def server_tls(authority: Authority) -> Callable[..., ssl.SSLContext]:
    def make(*names: str) -> ssl.SSLContext:
        credentials = authority.issue_server(list(names) or ["mail.example.org"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(credentials.certificate_file, credentials.key_file)
        return context

    return make


def statuses(results: list[Result]) -> dict[str, tuple[str, str, str]]:
    """By recipient: status, enhanced status code, reason."""
    return {
        result.recipient.recipient.address: (str(result.status), result.dsn.status, result.dsn.reason)
        for result in results
    }


@pytest.fixture
def outcome() -> Callable[[list[Result]], dict[str, tuple[str, str, str]]]:
    return statuses


__all__ = ["Notify"]
