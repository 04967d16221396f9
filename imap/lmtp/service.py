"""The LMTP service as the supervisor runs it: sockets in, sessions until the drain."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from auth.client import MasterClient
from imap.config import MailSettings
from imap.lmtp.delivery import Delivery
from imap.lmtp.session import Session
from imap.lmtp.settings import LmtpSettings
from imap.store import MailRoot
from imap.tls_settings import server_settings
from tls.context import server_context

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

log = logging.getLogger("dovecot.lmtp")

# The socket file belongs to the supervisor; from Python 3.13 on a closing server would remove it.
KEEP_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


class Bound(Protocol):
    """A listening socket of the supervisor."""

    @property
    def socket(self) -> socket.socket: ...
    @property
    def tag(self) -> str: ...
    @property
    def options(self) -> Mapping[str, str]: ...


def prepare(config: DovecotConfig, sockets: Sequence[Bound]) -> Serve:
    """Read settings, keys and the mail root; returns what runs unprivileged. Raises OSError, ValueError."""
    config = config.protocol("lmtp")
    settings = LmtpSettings.from_config(config)
    mail = MailSettings.from_config(config)
    root = MailRoot.open(mail.mail_root)
    context = tls_context(config)
    path = config.base_dir / "auth-userdb"

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        delivery = Delivery(settings, mail, root, MasterClient(path))
        sessions: set[Session] = set()
        empty = asyncio.Event()

        def gone(session: Session) -> None:
            sessions.discard(session)
            if not sessions:
                empty.set()

        def session() -> Session:
            made = Session(settings, delivery, context, gone)
            sessions.add(made)
            empty.clear()
            return made

        servers = [await _listen(bound, session, context) for bound in sockets]
        ready()
        try:
            await drain.wait()
        finally:
            for server in servers:
                server.close()
            for each in list(sessions):
                each.drain()
        if sessions:
            await empty.wait()

    return serve


async def _listen(
    bound: Bound, session: Callable[[], Session], context: ssl.SSLContext | None
) -> asyncio.AbstractServer:
    loop = asyncio.get_running_loop()
    implicit = context if bound.options.get("ssl") == "yes" else None
    if bound.socket.family == socket.AF_UNIX:
        return await loop.create_unix_server(session, sock=bound.socket, ssl=implicit, **KEEP_FILE)
    return await loop.create_server(session, sock=bound.socket, ssl=implicit, **KEEP_FILE)


def tls_context(config: DovecotConfig) -> ssl.SSLContext | None:
    """The context for STARTTLS; None if `ssl = no` or there is no certificate. Raises OSError, ValueError."""
    settings = server_settings(config)
    return server_context(**settings) if settings else None
