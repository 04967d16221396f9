"""smtpd as a service: what the supervisor prepares with privileges and then runs without them."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from mta.address import Resolver
from mta.anvil import AnvilClient, Counter, LocalCounter
from mta.anvil.service import AnvilServer
from mta.config import ConfigErrors, MainConfig
from mta.dns import Resolver as Dns
from mta.queue import Queue
from mta.queue.writer import end_process
from mta.smtpd.access.engine import Access
from mta.smtpd.listening import Line
from mta.smtpd.server import Server

log = logging.getLogger("postfix.smtpd")

ANVIL: Final = "anvil"
"""Tag of the socket on which processes ask for counts."""

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
    smtp = [bound for bound in sockets if bound.tag != ANVIL]
    # Postfix counts each master.cf line for itself; lines that are served together have the name of the first.
    names = [bound.options["service_name"] for bound in smtp if "service_name" in bound.options]
    server.limits.service = names[0] if names else "smtp"

    screened = (bound.socket for bound in smtp if bound.options.get("command") == "postscreen")
    server.screened_ports = frozenset(sock.getsockname()[1] for sock in screened)

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        queue = Queue.from_config(config)
        queue.on_failure = end_process
        try:
            server.queue, server.talking = queue, queue.talking
            async with _counter(config, sockets, drain) as server.limits.counter:
                await accept(server, _lines(server, smtp), drain, ready)
        finally:
            await server.close()
            queue.close()

    return serve


def check(config: MainConfig) -> list[str]:
    """What would keep the service from starting: restrictions that do not exist, tables that cannot be, a line each."""
    try:
        Access(config, Resolver(config), Dns.of(config))
    except ConfigErrors as errors:
        return [str(error) for error in errors.errors]
    return []


@contextlib.asynccontextmanager
async def _counter(config: MainConfig, sockets: Sequence[Bound], drain: asyncio.Event) -> AsyncIterator[Counter]:
    """Counts clients: for this process where it is the only one of its service, else for all of the instance.

    The first process of the service that has the socket counts; the others, and other services, ask it.
    """
    unit, several = config.seconds("anvil_rate_time_unit"), any(_place(bound)[0] > 1 for bound in sockets)
    asked = [bound for bound in sockets if bound.tag == ANVIL and _place(bound)[1] == 0]
    if asked or not several:
        server = AnvilServer(unit)
        await server.listen(bound.socket for bound in asked)
        closing = asyncio.create_task(_close(server, drain))
        try:
            yield LocalCounter(server.counters)
        finally:
            closing.cancel()
            server.close()
    else:
        with contextlib.closing(AnvilClient(Path(config.str("queue_directory"), "private", "anvil"))) as client:
            yield client


async def _close(server: AnvilServer, drain: asyncio.Event) -> None:
    """With the last client accepted: from now on our successor counts, also for those that ask us."""
    await drain.wait()
    server.close()


def _place(bound: Bound) -> tuple[int, int]:
    """Number of processes, number of this one."""
    return int(bound.options.get("workers", "1")), int(bound.options.get("worker", "0"))


def _lines(server: Server, sockets: Sequence[Bound]) -> list[Line]:
    """The sockets by master.cf line, each line with its limit on sessions."""
    servers = (server, server.under_stress())
    found: dict[str, list[Bound]] = {}
    for bound in sockets:
        found.setdefault(bound.options.get("service_name", ""), []).append(bound)
    lines = []
    for name, members in found.items():
        options = members[0].options
        limit = int(options.get("sessions", "0"))
        lines.append(Line.of(name, [bound.socket for bound in members], limit, _place(members[0]), servers))
    return lines


class _Unopened:
    """Stands where the queue will be: nothing can be accepted before it is open."""

    def new_id(self) -> str:
        raise RuntimeError("the queue is not open")

    def check_space(self, size: int = 0) -> None:
        raise RuntimeError("the queue is not open")

    async def put(self, message: object) -> str:
        raise RuntimeError("the queue is not open")


async def accept(server: Server, lines: Sequence[Line], drain: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve clients until `drain` is set, then let the sessions end; when cancelled, end them with 421."""
    try:
        for line in lines:
            line.open()
        ready()
        await drain.wait()
        for line in lines:
            line.close()
        # A client amid its TLS handshake has no session yet: it is served too.
        if beginning := {task for line in lines for task in line.beginning}:
            await asyncio.wait(beginning, timeout=HANDSHAKE_GRACE_SECONDS)
        await _sessions_end(server)
    except asyncio.CancelledError:
        for line in lines:
            line.close()
        for connection in tuple(server.connections):
            connection.close_politely()
        await _sessions_end(server)
    finally:
        for line in lines:
            line.close()


async def _sessions_end(server: Server) -> None:
    while tasks := {connection.task for connection in server.connections}:
        await asyncio.wait(tasks)
