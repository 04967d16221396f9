"""The auth service as a process: it serves the sockets the supervisor has bound (wiki Services, auth)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from . import kerberos
from .client_connection import ClientConnection
from .core import Core
from .databases import BadArguments
from .dovecotconf import DovecotConfig
from .identities import identities
from .master_connection import MasterConnection
from .mechanisms import MECHANISMS
from .verbosity import set_verbosity

log = logging.getLogger("dovecot.auth")

ACCEPT_PAUSE = 0.5
"""Seconds to wait after accept() has failed for want of descriptors."""


class Bound(Protocol):
    """A listening, non-blocking socket and what the configuration says of it."""

    @property
    def socket(self) -> socket.socket:
        """The socket."""

    @property
    def tag(self) -> str:
        """The last part of the listener's path, or the name of its block."""

    @property
    def options(self) -> Mapping[str, str]:
        """``mode`` in octal for unix sockets."""


Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


def socket_type(tag: str) -> str:
    """What a socket serves, by the word after the last ``-`` of its name, as Dovecot has it:
    ``login``, ``master``, ``userdb``, else ``client``."""
    suffix = tag.rpartition("-")[2]
    return suffix if suffix in ("login", "master", "userdb") else "client"


def prepare(config: DovecotConfig, sockets: Sequence[Bound]) -> Serve:
    """Open what the configuration names; the returned coroutine function serves until it is drained.

    Raises BadArguments (a line for the administrator) when a database or mechanism cannot be.
    """
    identities.load()
    core = Core(config.protocol("auth"))
    set_verbosity(log, core.settings)
    limit = config.service("auth").client_limit

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        acceptors = [asyncio.create_task(_accept(core, bound, limit)) for bound in sockets]
        ready()
        try:
            await drain.wait()
            for task in acceptors:
                task.cancel()
            while any(connection.busy for connection in core.connections):
                core.changed.clear()
                await core.changed.wait()
        finally:
            for task in acceptors:
                task.cancel()
            for connection in list(core.connections):
                connection.close()
            core.close()

    return serve


def check(config: DovecotConfig) -> list[str]:
    """What would keep the service from starting: databases and mechanisms that cannot be, a line each."""
    try:
        Core(config.protocol("auth")).close()
    except BadArguments as error:
        return [str(error)]
    return []


class Files(NamedTuple):
    """What the kernel jail has to leave open."""

    read: list[Path]
    written: list[Path]


def files(config: DovecotConfig) -> Files:
    """The files that databases read at any time, and those that one-time passwords go to. Raises BadArguments."""
    core = Core(config.protocol("auth"))
    core.close()
    keytabs = kerberos.files(core.settings.krb5_keytab) if "GSSAPI" in core.mechanisms else []
    stores = any(MECHANISMS[name].needs == "store" for name in core.mechanisms)
    return Files([*core.authenticator.files(), *keytabs], core.authenticator.written() if stores else [])


async def _accept(core: Core, bound: Bound, limit: int) -> None:
    """Take connections of one socket for ever; at the client limit they wait in the kernel's queue."""
    loop = asyncio.get_running_loop()
    make = _factory(core, bound)
    while True:
        while len(core.connections) >= limit:
            core.changed.clear()
            await core.changed.wait()
        try:
            accepted, _ = await loop.sock_accept(bound.socket)
        except OSError as error:
            log.warning("accept(%s) failed: %s", bound.tag, error)
            await asyncio.sleep(ACCEPT_PAUSE)
            continue
        accepted.setblocking(False)
        await loop.connect_accepted_socket(make, accepted)


def _factory(core: Core, bound: Bound) -> Callable[[], asyncio.Protocol]:
    kind = socket_type(bound.tag)
    mode = int(bound.options.get("mode") or "0600", 8)
    if kind in ("master", "userdb"):
        return lambda: MasterConnection(core, userdb_only=kind == "userdb", mode=mode)
    return lambda: ClientConnection(core, keeps=kind == "login")
