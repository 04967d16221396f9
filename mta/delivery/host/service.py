"""The process that delivers on this host: root with its effective user lowered, until a child becomes the recipient."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from mta.address import Resolver
from mta.clock import clock_of
from mta.config import ConfigErrors, MainConfig, MasterConfig
from mta.delivery.host import link
from mta.delivery.host.build import deliverer
from mta.delivery.host.report import Deliverer, Report, Step
from mta.delivery.host.rights import Rights
from mta.delivery.host.state import CONFIGURATION
from mta.delivery.request import Request

logger = logging.getLogger("postfix.master")

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]

_PR_SET_PDEATHSIG: Final = 1
ACCOUNTS = Path("/etc/passwd")


class Bound(Protocol):
    """A socket that the supervisor bound for us; its tag is the name of the line in master.cf."""

    @property
    def socket(self) -> socket.socket: ...
    @property
    def tag(self) -> str: ...
    @property
    def options(self) -> Mapping[str, str]: ...


class Misconfigured:
    """A line that cannot work: its mail waits, and the log said why."""

    async def reports(self, request: Request) -> list[Report]:
        """See Deliverer."""
        return [
            Report(recipient.position, [Step.of(recipient.recipient.address, "4.3.5", CONFIGURATION)])
            for recipient in request.recipients
        ]


def prepare(config: MainConfig, sockets: Sequence[Bound]) -> Serve:
    """See the service contract of the supervisor. Raises ConfigErrors, OSError."""
    queue = Path(config.str("queue_directory"))
    status = queue.stat()
    owner, clock = Rights(status.st_uid, status.st_gid), clock_of(config)
    lines = {line.name: line for line in MasterConfig.load(config.confdir, config) if line.type == "unix"}
    deliverers: list[tuple[Bound, Deliverer]] = []
    for bound in sockets:
        line = lines[bound.tag]
        try:
            own = config.with_overrides(line.overrides, line.where) if line.overrides else config
            found = deliverer(line, own, Resolver(own), owner if owner.uid else None, clock)
        except (ConfigErrors, ValueError) as error:
            logger.error("%s: %s: %s", line.where, line.name, error)
            found = Misconfigured()
        deliverers.append((bound, found))

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        os.chdir(queue)  # where commands start, if nothing else is said
        lower(owner)
        tasks: set[asyncio.Task[None]] = set()
        accounts, stale = _accounts(), asyncio.Event()

        def up_to_date() -> bool:
            if _accounts() != accounts:
                stale.set()
            return not stale.is_set()

        for bound, found in deliverers:
            _listen(bound.socket, found, tasks, up_to_date)
        ready()
        ends = [asyncio.create_task(event.wait()) for event in (drain, stale)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for bound, _ in deliverers:
            asyncio.get_running_loop().remove_reader(bound.socket)
        if tasks:
            await asyncio.wait(tasks)
        if stale.is_set():
            logger.info("the user database was replaced: starting anew")
        for end in ends:
            end.cancel()

    return serve


def _accounts() -> tuple[int, int]:
    """Which file is the user database: a new one stands outside the rules that the kernel was given for the old."""
    try:
        status = ACCOUNTS.stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _listen(
    listener: socket.socket, found: Deliverer, tasks: set[asyncio.Task[None]], up_to_date: Callable[[], bool]
) -> None:
    loop = asyncio.get_running_loop()

    def accept() -> None:
        if not up_to_date():
            return  # the next process finds the client still waiting
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = listener.accept()
            task = loop.create_task(_answer(connection, found))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    loop.add_reader(listener, accept)


async def _answer(connection: socket.socket, found: Deliverer) -> None:
    connection.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    try:
        request = await link.receive(reader)
        writer.write(link.reply(await found.reports(request)))
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the queue manager has gone; it will ask again
    except Exception:
        logger.exception("delivery failed")
    finally:
        writer.close()


def lower(owner: Rights) -> None:
    """As root: keep the real user, but open files and look things up as the mail system's own (set_eugid)."""
    if os.geteuid() != 0 or owner.uid == 0:
        return
    supervisor = os.getppid()
    os.setgroups([])
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    # The kernel forgets at a change of user whose death we follow.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(os.EX_UNAVAILABLE)
