"""The IMAP service as the supervisor starts it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imap import service
from imap.imap4.session import Session
from imap.imap4.settings import Settings
from imap.login import Login, LoginService
from imap.service import Serve
from imap.transport import Bound, Connection, MakeSession

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig


def prepare(config: DovecotConfig, sockets: Sequence[Bound]) -> Serve:
    """Make everything ready that needs privileges; the coroutine function that is returned serves IMAP.

    Sockets are tagged ``imap`` or ``imaps``. Raises TLSConfigError and StoreError.
    """
    settings = Settings.from_config(config)
    return service.prepare(config, sockets, "imap", lambda login: sessions(login, settings))


def sessions(service: LoginService, settings: Settings) -> MakeSession:
    """The factory of IMAP sessions."""
    numbers = itertools.count(1)

    def make(connection: Connection) -> Session:
        login = Login(service, connection.local, connection.remote, f"{os.getpid():x}.{next(numbers):x}")
        login.tls = connection.is_tls
        login.binding = connection.channel_binding
        login.certificate = connection.client_certificate
        login.tls_possible = connection.server.tls is not None
        return Session(connection, login, settings)

    return make
