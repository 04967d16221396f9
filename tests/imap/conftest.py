"""A mail root, an auth service that knows one user, and connections without sockets, for IMAP and POP3."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auth.client import AuthFailed, AuthSuccess, UserFields
from auth.dovecotconf import DovecotConfig
from auth.sessions import Sessions
from imap.config import MailSettings
from imap.connections import Connections
from imap.login import Login, LoginService
from imap.login_settings import LoginSettings
from imap.store import MailRoot

PASSWORD = b"testpass"


@dataclass(frozen=True)
class FakeMechanism:
    """A mechanism as the auth service announces it."""

    name: str
    flags: frozenset[str]


class FakeAuth:
    """Every user's password is ``testpass``; PLAIN asks for what it was not given."""

    def __init__(self) -> None:
        self.offered = [
            FakeMechanism("PLAIN", frozenset({"plaintext"})),
            FakeMechanism("CRAM-MD5", frozenset({"dictionary", "active"})),
        ]
        self.error: Exception | None = None
        self.connection: tuple[int, int] | None = (0x1F, 7)
        self.details: dict[str, Any] = {}

    async def mechanisms(self) -> list[FakeMechanism]:
        return self.offered

    async def authenticate(
        self, mechanism: str, initial: bytes | None, challenge: Callable[[bytes], Awaitable[bytes]], **details: Any
    ) -> AuthSuccess:
        if self.error is not None:
            raise self.error
        self.details = details
        response = initial if initial is not None else await challenge(b"")
        if mechanism == "APOP":
            made, name, digest = response.split(b"\0", 2)
            if digest != hashlib.md5(made + PASSWORD).digest():
                raise AuthFailed({"user": name.decode()})
            return AuthSuccess(name.decode(), {})
        _, user, password = response.split(b"\0") if response.count(b"\0") == 2 else (b"", b"", b"")
        if password != PASSWORD:
            raise AuthFailed({"user": user.decode("utf-8", "replace")})
        return AuthSuccess(user.decode(), {})


class FakeMaster:
    """A userdb in which everyone has a home below the mail root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def user(self, user: str, service: str = "") -> UserFields:
        return UserFields(user, {"home": str(self.root / user)})


@dataclass
class FakeWire:
    """The transport's side of a session."""

    local: tuple[str, int] = ("127.0.0.1", 143)
    remote: tuple[str, int] = ("127.0.0.1", 4711)
    is_tls: bool = False
    sent: bytearray = field(default_factory=bytearray)
    closed: bool = False
    timeout: float = 0.0
    tls_started: bool = False

    def write(self, data: bytes) -> None:
        assert not self.closed, data
        self.sent += data

    def start_tls(self, go_ahead: bytes) -> None:
        self.write(go_ahead)
        self.tls_started = self.is_tls = True

    def start_compression(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True

    def set_timeout(self, seconds: float) -> None:
        self.timeout = seconds

    def writable(self) -> asyncio.Future[None] | None:
        return None


@dataclass
class Mail:
    """Mail of users in one temporary mail root, and log-in to it."""

    root: Path
    config: DovecotConfig
    settings: MailSettings
    mail_root: MailRoot
    auth: FakeAuth
    services: dict[str, LoginService] = field(default_factory=dict)

    @staticmethod
    def wire(**details: Any) -> FakeWire:
        """A connection that is not there."""
        return FakeWire(**details)

    async def login(self, protocol: str, wire: FakeWire, **settings: Any) -> Login:
        """The log-in of a new connection."""
        if protocol not in self.services:
            service = LoginService(
                LoginSettings(protocol, **settings),
                self.auth,  # type: ignore[arg-type]
                FakeMaster(self.root),  # type: ignore[arg-type]
                None,
                self.settings,
                self.mail_root,
                Connections(self.root, protocol),
                Sessions(self.root, protocol),
            )
            await service.refresh()
            self.services[protocol] = service
        return Login(self.services[protocol], wire.local, wire.remote, "1")

    def close(self) -> None:
        """Give all descriptors back."""
        for service in self.services.values():
            service.connections.close()
            service.sessions.close()
        self.mail_root.close()

    def deliver(self, user: str, *messages: bytes, folder: str = "INBOX", flags: tuple[str, ...] = ()) -> None:
        """Put messages into a user's mailbox."""
        from imap.store import NewMail

        store = self.settings.user_store(self.mail_root, user, {"home": str(self.root / user)})
        try:
            store.append(folder, [NewMail(message, flags, 1700000000 + n) for n, message in enumerate(messages)])
        finally:
            store.close()


DOVECOT_CONF = """\
base_dir = {base}/run
state_dir = {base}/state
mail_location = maildir:~/Maildir
userdb {{
  driver = static
  args = uid=8 gid=8 home={base}/mail/%u
}}
{extra}
"""


def make_mail(directory: Path, extra: str = "") -> Mail:
    """A fresh mail root with the defaults of dovecot.conf, and `extra` settings."""
    (directory / "mail").mkdir()
    conf = directory / "dovecot.conf"
    conf.write_text(DOVECOT_CONF.format(base=directory, extra=extra.format(base=directory)))
    config = DovecotConfig.load(conf)
    settings = MailSettings.from_config(config)
    root = MailRoot.open(settings.mail_root)
    return Mail(Path(settings.mail_root), config, settings, root, FakeAuth())


@pytest.fixture
def dovecot_conf() -> str:
    """What a module adds to dovecot.conf; it may have a fixture of this name of its own."""
    return ""


@pytest.fixture
def mail(tmp_path: Path, dovecot_conf: str) -> Iterator[Mail]:
    """A fresh mail root, closed after the test."""
    mail = make_mail(tmp_path, dovecot_conf)
    yield mail
    mail.close()


@dataclass
class RunningServer:
    """A service's connections on real sockets."""

    server: Any
    port: int
    tls_port: int
    context: Any

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A plaintext connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    def paused(self) -> bool:
        """Whether some connection waits for its peer."""
        return any(connection.writable() is not None for connection in self.server.connections)


@dataclass(frozen=True)
class BoundSocket:
    """A listening socket as the supervisor hands it over."""

    socket: socket.socket
    tag: str
    options: dict[str, str] = field(default_factory=dict)


def listening(tag: str) -> BoundSocket:
    """A socket on a free port of loopback."""
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return BoundSocket(sock, tag)


def forget_reactor() -> None:
    """Twisted allows one reactor per process; a test has its own loop, so the one before is forgotten."""
    import twisted.internet

    sys.modules.pop("twisted.internet.reactor", None)
    twisted.internet.__dict__.pop("reactor", None)


@pytest.fixture
async def serve(mail: Mail, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[RunningServer]]]:
    """Starts the sessions of ``make(login_service)`` for a protocol on real sockets."""
    from imap.transport import Server, install_reactor
    from tls.authority import Authority
    from tls.context import client_context
    from tls.context_twisted import twisted_server_options
    from tls.policy import Policy

    started: list[tuple[Server, list[BoundSocket]]] = []
    forget_reactor()
    reactor = install_reactor()

    async def start(
        protocol: str, make: Callable[[LoginService], Any], capacity: Any = None, **settings: Any
    ) -> RunningServer:
        authority = Authority.create(tmp_path / "ca")
        credentials = authority.issue_server(["localhost", "127.0.0.1"])
        options = twisted_server_options(
            str(credentials.certificate_file), str(credentials.key_file), Policy(),
            request_client_certificate=True, client_ca=str(authority.certificate_file),
        )  # fmt: skip
        service = (await mail.login(protocol, FakeWire(), **settings)).service
        loop = asyncio.get_running_loop()
        server = Server(make(service), options, loop, capacity=capacity)  # type: ignore[arg-type]
        bound = [listening(protocol), listening(protocol + "s")]
        server.listen(reactor, bound, protocol + "s")
        started.append((server, bound))
        context = client_context(Policy(), ca_file=str(authority.certificate_file), verify="chain")
        return RunningServer(server, bound[0].socket.getsockname()[1], bound[1].socket.getsockname()[1], context)

    yield start
    for server, bound in started:
        await server.close_all()
        await asyncio.wait_for(server.drain(), 10)
        for each in bound:
            each.socket.close()
    for waker in reactor._internalReaders:  # a real process has one reactor to its end
        reactor.removeReader(waker)
        waker.connectionLost(None)
    forget_reactor()
