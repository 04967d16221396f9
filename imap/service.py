"""What the IMAP and POP3 services have in common: prepare with privileges, serve without (see ``prepare``)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from auth.client import AuthClient, AuthUnavailable, MasterClient
from auth.sessions import KICK, Sessions
from auth.tcpwrap.dovecot import access_files
from imap.admission import Admission
from imap.capacity import Capacity
from imap.config import MailSettings
from imap.connections import Connections
from imap.login import LoginService
from imap.login_settings import LoginSettings
from imap.store import MailRoot
from imap.tls_settings import server_settings
from imap.transport import Bound, MakeSession, Server, install_reactor
from tls.context_twisted import twisted_server_options

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]
# Makes the factory of sessions of one protocol, once the log-in service stands.
MakeSessions = Callable[[LoginService], MakeSession]

# Seconds between attempts to reach an auth service that is not there yet, at first and at most.
AUTH_RETRY = 0.05
AUTH_RETRY_MAX = 2.0


def prepare(config: DovecotConfig, sockets: Sequence[Bound], protocol: str, make_sessions: MakeSessions) -> Serve:
    """Read certificates and open the mail root while that is allowed; returns the coroutine that serves.

    ``protocol`` is ``imap`` or ``pop3``; sockets tagged ``imaps``/``pop3s`` speak TLS from the start.
    Raises TLSConfigError, StoreError, OSError.
    """
    view = config.protocol(protocol)
    settings = LoginSettings.from_config(config, protocol)
    mail = MailSettings.from_config(view)
    root = MailRoot.open(mail.mail_root)
    tls = server_settings(view)
    options = twisted_server_options(**tls) if tls else None
    connections = Connections(config.base_dir, protocol)
    sessions = Sessions(config.base_dir, protocol)
    tables = access_files(view)
    admission = Admission(tables, protocol) if tables is not None else None
    capacity = Capacity.from_config(config, protocol)
    log = logging.getLogger(f"dovecot.{protocol}")

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        reactor = install_reactor()
        auth = AuthClient(config.base_dir / "login" / "login", service=protocol)
        master = MasterClient(config.base_dir / "auth-userdb")
        finished = MasterClient(config.base_dir / "auth-master")
        login = LoginService(settings, auth, master, finished, mail, root, connections, sessions)
        asyncio.get_running_loop().add_signal_handler(KICK, sessions.end_marked)
        server = Server(make_sessions(login), cast(Any, options), asyncio.get_running_loop(), admission, capacity)
        try:
            if not await _reach_auth(login, drain, log):
                return
            server.listen(reactor, sockets, protocol + "s")
            ready()
            await drain.wait()
            await server.drain()
        finally:
            await server.close_all()
            connections.close()
            sessions.close()
            await auth.close()
            await master.close()
            await finished.close()
            root.close()

    return serve


async def _reach_auth(login: LoginService, drain: asyncio.Event, log: logging.Logger) -> bool:
    """Wait until the auth service answers: no greeting is complete without its mechanisms. False: told to drain."""
    delay = AUTH_RETRY
    while not drain.is_set():
        try:
            await login.refresh()
        except AuthUnavailable as error:
            if delay >= AUTH_RETRY_MAX:
                log.warning("auth: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(drain.wait(), delay)
            delay = min(2 * delay, AUTH_RETRY_MAX)
        else:
            return True
    return False
