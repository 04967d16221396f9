"""smtpd as a service: what the supervisor prepares with privileges and then runs without them."""

from __future__ import annotations

import asyncio
import codecs
import logging
import socket
import weakref
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from mta.address import Resolver
from mta.anvil import AnvilClient
from mta.config import ConfigErrors, MainConfig
from mta.dns import Resolver as Dns
from mta.queue import Queue
from mta.queue.writer import end_process
from mta.smtpd.access.engine import Access
from mta.smtpd.connection import Connection
from mta.smtpd.server import Server

log = logging.getLogger("postfix.smtpd")

BACKLOG: Final = 1024
"""Connections that the kernel may hold while the loop is busy."""


HANDSHAKE_GRACE_SECONDS: Final = 0.5
"""What TLS handshakes that are under way get when the service drains."""

LAZY_CODECS: Final = ("punycode", "idna")
"""Loaded at first use by Python, which may be after the file system is closed to us: internationalized domains."""


class Bound(Protocol):
    """A listening socket with what its master.cf line says."""

    @property
    def socket(self) -> socket.socket: ...
    @property
    def tag(self) -> str: ...
    @property
    def options(self) -> Mapping[str, str]: ...


Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


def prepare(config: MainConfig, sockets: Sequence[Bound]) -> Serve:
    """Read tables and keys, compile the policy. Raises ConfigErrors."""
    for codec in LAZY_CODECS:
        codecs.lookup(codec)
    server = Server.from_config(config, _Unopened())
    # Postfix counts each master.cf line for itself; lines that are served together have the name of the first.
    names = [bound.options["service_name"] for bound in sockets if "service_name" in bound.options]
    server.limits.service = names[0] if names else "smtp"

    screened = (bound.socket for bound in sockets if bound.options.get("command") == "postscreen")
    server.screened_ports = frozenset(sock.getsockname()[1] for sock in screened)

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        queue = Queue.from_config(config)
        queue.on_failure = end_process
        anvil = _shared_counter(config, sockets)
        try:
            server.queue = queue
            if anvil is not None:
                server.limits.counter = anvil
            await accept(server, [bound.socket for bound in sockets], drain, ready)
        finally:
            await server.close()
            if anvil is not None:
                anvil.close()
            queue.close()

    return serve


def check(config: MainConfig) -> list[str]:
    """What would keep the service from starting: restrictions that do not exist, tables that cannot be, a line each."""
    try:
        Access(config, Resolver(config), Dns.of(config))
    except ConfigErrors as errors:
        return [str(error) for error in errors.errors]
    return []


def _shared_counter(config: MainConfig, sockets: Sequence[Bound]) -> AnvilClient | None:
    """The counter of a service that is more than one process; a service of one process counts for itself."""
    if all(bound.options.get("workers", "1") == "1" for bound in sockets):
        return None
    return AnvilClient(Path(config.str("queue_directory"), "private", "anvil"))


class _Unopened:
    """Stands where the queue will be: nothing can be accepted before it is open."""

    def new_id(self) -> str:
        raise RuntimeError("the queue is not open")

    def check_space(self, size: int = 0) -> None:
        raise RuntimeError("the queue is not open")

    async def put(self, message: object) -> str:
        raise RuntimeError("the queue is not open")


async def accept(
    server: Server, sockets: Sequence[socket.socket], drain: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Serve clients until `drain` is set, then let the sessions end; when cancelled, end them with 421."""
    loop = asyncio.get_running_loop()
    context = server.tls.context if server.tls.wrapper_mode else None
    timeout = server.starttls_timeout if context else None
    accepted: weakref.WeakSet[Connection] = weakref.WeakSet()

    def accept_one() -> Connection:
        connection = Connection(server)
        accepted.add(connection)
        return connection

    listeners = [
        await loop.create_server(accept_one, sock=listener, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=timeout)
        for listener in sockets
    ]
    try:
        ready()
        await drain.wait()
        for listener_server in listeners:
            listener_server.close()
        await _sessions_begin(accepted)
        await _sessions_end(server)
    except asyncio.CancelledError:
        for connection in tuple(server.connections):
            connection.close_politely()
        await _sessions_end(server)
    finally:
        for listener_server in listeners:
            listener_server.close()


async def _sessions_begin(accepted: Collection[Connection]) -> None:
    """A client that was accepted a moment ago, or is amid its TLS handshake, has no session yet: it is served too."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HANDSHAKE_GRACE_SECONDS
    while any(not hasattr(connection, "task") for connection in accepted) and loop.time() < deadline:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)


async def _sessions_end(server: Server) -> None:
    while tasks := {connection.task for connection in server.connections}:
        await asyncio.wait(tasks)
