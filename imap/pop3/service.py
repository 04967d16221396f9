"""The POP3 service as the supervisor starts it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imap import service
from imap.login import Login, LoginService
from imap.pop3.session import Session, Settings
from imap.service import Serve
from imap.transport import Bound, Connection, MakeSession

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig


def prepare(config: DovecotConfig, sockets: Sequence[Bound]) -> Serve:
    """Make everything ready that needs privileges; the coroutine function that is returned serves POP3.

    Sockets are tagged ``pop3`` or ``pop3s``. Raises TLSConfigError and StoreError.
    """
    settings = Settings.from_config(config)
    return service.prepare(config, sockets, "pop3", lambda login: sessions(login, settings))


def sessions(service: LoginService, settings: Settings) -> MakeSession:
    """The factory of POP3 sessions."""
    numbers = itertools.count(1)

    def make(connection: Connection) -> Session:
        login = Login(service, connection.local, connection.remote, f"{os.getpid():x}.{next(numbers):x}")
        login.tls = connection.is_tls
        login.binding = connection.channel_binding
        login.certificate = connection.client_certificate
        login.tls_possible = connection.server.tls is not None
        return Session(connection, login, settings)

    return make
