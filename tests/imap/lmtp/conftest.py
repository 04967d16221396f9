"""Fixtures: an LMTP server on a loopback port, with users who need no auth service."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from auth.client import AuthUnavailable, UserFields
from imap.config import MailSettings
from imap.lmtp.delivery import Delivery
from imap.lmtp.session import Session
from imap.lmtp.settings import LmtpSettings
from imap.store import MailRoot
from imap.store.user import UserStore


class Users:
    """Stands for the userdb: alice and bob are known, "down" is a server that cannot be asked."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def user(self, username: str, service: str = "") -> UserFields | None:
        assert service == "lmtp"
        name = username.partition("@")[0].lower()
        if name == "down":
            raise AuthUnavailable("no socket")
        if name not in ("alice", "bob"):
            return None
        return UserFields(name, {"home": str(self._root / name)})


class Dialogue:
    """A client that reads whole replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def reply(self) -> str:
        """One reply; "" at the end of the connection."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            if not line:
                return ""
            assert line.endswith("\r\n")
            lines.append(line[:-2])
            if line[3:4] != "-":
                return "\n".join(lines)

    async def __call__(self, line: str | bytes, replies: int = 1) -> str:
        self.writer.write(line if isinstance(line, bytes) else line.encode("latin-1") + b"\r\n")
        return "\n".join([await self.reply() for _ in range(replies)])


class Server:
    """The server, its settings and its mail root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mail = MailSettings(root, "maildir:~/Maildir", "", "optimized", False, _namespaces())
        self.settings = LmtpSettings("mail.example", "ready.")
        self.context: Any = None
        self.port = 0
        self.sessions: set[Session] = set()
        self._mail_root = MailRoot.open(root)
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, settings: LmtpSettings | None = None) -> None:
        if settings is not None:
            self.settings = settings
        users: Any = Users(self.root)
        delivery = Delivery(self.settings, self.mail, self._mail_root, users)

        def session() -> Session:
            made = Session(self.settings, delivery, self.context, self.sessions.discard)
            self.sessions.add(made)
            return made

        self._server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def connect(self) -> Dialogue:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        dialogue = Dialogue(reader, writer)
        assert await dialogue.reply() == "220 mail.example ready."
        return dialogue

    async def begin(self, *recipients: str, sender: str = "s@example.org") -> Dialogue:
        """A connection with LHLO, MAIL and RCPT done."""
        say = await self.connect()
        await say("LHLO client.example")
        assert await say(f"MAIL FROM:<{sender}>") == "250 2.1.0 OK"
        for recipient in recipients:
            assert await say(f"RCPT TO:<{recipient}>") == "250 2.1.5 OK"
        return say

    def store(self, user: str) -> UserStore:
        return self.mail.user_store(self._mail_root, user, {"home": str(self.root / user)})

    def mails(self, user: str, name: str = "INBOX") -> list[bytes]:
        with self.store(user) as store, store.open(name) as mailbox:
            return [mailbox.read(uid) for uid in mailbox.messages]

    async def stop(self) -> None:
        for writer in self._writers:
            writer.close()
        if self._server is not None:
            self._server.close()
        while self.sessions:
            await asyncio.sleep(0.01)
        self._mail_root.close()


def _namespaces() -> Any:
    from imap.config import _Namespace
    from imap.store import NamespaceInfo

    return (_Namespace(NamespaceInfo("", ".", inbox=True), "", ""),)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path)
    yield made
    await made.stop()


@pytest.fixture
def free_socket() -> Callable[[], socket.socket]:
    def make() -> socket.socket:
        made = socket.create_server(("127.0.0.1", 0))
        made.setblocking(False)
        return made

    return make
