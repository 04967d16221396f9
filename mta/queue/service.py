"""The queue manager as a service: qmgr(8), pickup(8), bounce(8) and the delivery agents in one process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import math
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from mta.address import Resolver
from mta.clock import clock_of
from mta.config import MainConfig, MasterConfig
from mta.delivery.agents import Surroundings, UnavailableAgent, build
from mta.delivery.bounce.notices import Notices, NoticeSettings
from mta.delivery.host.forwarder import Forwarder
from mta.delivery.request import Agent
from mta.dns import Resolver as DnsResolver
from mta.inherited import KEEP_FILE
from mta.message import Cleanup
from mta.message.checks import Checks
from mta.message.service import cleanup_rules, line_config
from mta.queue import control, layout
from mta.queue.bodies import remove_orphans
from mta.queue.completion import Completion
from mta.queue.deliverers import Agents
from mta.queue.errors import QueueLocked
from mta.queue.manager import Manager
from mta.queue.settings import ManagerSettings, TransportSettings
from mta.queue.store import Queue
from mta.queue.wakeup import FLUSH_DEAD, IGNORE_TIME, SCAN_DEFERRED, SCAN_INCOMING
from mta.queue.writer import end_process
from mta.sendmail.filtering import Filtering
from mta.sendmail.pickup import Pickup, PickupSettings
from mta.tables import TableError
from mta.verify.cache import Cache, CacheSettings
from mta.verify.probes import Prober
from mta.verify.sender import probe_sender
from mta.verify.server import VerifyServer
from mta.verify.store import Store, open_store

logger = logging.getLogger("postfix.qmgr")

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]

LOCK_PATIENCE: Final = 10.0
"""Seconds to wait for a queue manager that is about to end (reload, restart after a crash)."""
CONTROL_SIZE: Final = 512
"""Octets of one control request."""


class Bound(Protocol):
    """A socket that the supervisor bound for us."""

    @property
    def socket(self) -> socket.socket: ...
    @property
    def tag(self) -> str: ...
    @property
    def options(self) -> Mapping[str, str]: ...


@dataclass(slots=True)
class Plan:
    """What was read and opened while the process still had its privileges."""

    config: MainConfig
    resolver: Resolver
    cleanup: Cleanup
    picked_up: Filtering
    """For mail of sendmail(1), with the -o of the line of pickup(8)."""
    forwarder: Forwarder
    agents: dict[str, Agent]
    transports: dict[str, TransportSettings]
    probe_resolver: Resolver
    verified: Store
    """Where the results of address verification are kept."""
    clock: Callable[[], float] = time.time


def make_plan(config: MainConfig, clock: Callable[[], float] | None = None) -> Plan:
    """Open tables and keys. `clock`: the instance's, unless another is given. Raises ConfigErrors, OSError."""
    clock = clock or clock_of(config)
    services = MasterConfig.load(config.confdir, config)
    resolver = Resolver(config)
    own = tuple(str(interface.ip) for interface in config.own_interfaces)
    cleanup, picked_up = Cleanup(cleanup_rules(config), clock), line_config(config, "pickup", "pickup")
    forwarder = Forwarder(internal(cleanup).process, config.str("myhostname"), config.str("mail_name"), clock)
    surroundings = Surroundings(config, resolver, DnsResolver.of(config), forwarder, own, clock)
    return Plan(
        config,
        resolver,
        cleanup,
        Filtering.from_config(picked_up, Cleanup(cleanup_rules(picked_up), clock)),
        forwarder,
        build(services, surroundings),
        {
            service.name: TransportSettings.from_config(config, service.name, service.maxproc)
            for service in services
            if service.type == "unix"
        },
        Resolver(config, verify=True),
        open_store(config),
        clock,
    )


def internal(cleanup: Cleanup) -> Cleanup:
    """Cleanup for mail that the system itself writes: completed and mapped, but not checked, copied or filtered."""
    rules = replace(
        cleanup.rules, checks=Checks(), always_bcc="", sender_bcc=None, recipient_bcc=None, content_filter=""
    )
    return replace(cleanup, rules=rules)


class Service:
    """A queue manager at work on one queue; also used for a single run in the foreground (sendmail -q)."""

    def __init__(self, plan: Plan) -> None:
        """Opens the queue. Raises QueueError, QueueLocked."""
        config, clock = plan.config, plan.clock
        self._plan = plan
        self._directory = Path(config.str("queue_directory"))
        self.queue = Queue.from_config(config, clock=clock)
        plan.forwarder.new_id, plan.forwarder.put = self.queue.new_id, self.queue.put
        settings = ManagerSettings.from_config(config)
        notices = Notices(NoticeSettings.from_config(config), internal(plan.cleanup).process, self.queue.new_id, clock)
        pickup_settings = PickupSettings(
            config.str("myhostname"), config.str("mail_name"), config.int("message_size_limit")
        )
        rewrite = plan.cleanup.rules.rewrite
        pickup = Pickup(self.queue, plan.picked_up.process, notices, pickup_settings, rewrite, clock)
        self._answers: set[asyncio.Task[None]] = set()
        self._agents = Agents(plan.agents, plan.transports, UnavailableAgent(clock))
        self.prober = Prober(
            Cache(plan.verified, CacheSettings.from_config(config), clock),
            internal(plan.cleanup).process,
            self.queue.put,
            self.queue.new_id,
            lambda: probe_sender(config, clock()),
            (config.str("myhostname"), config.str("mail_name")),
            config.int("address_verify_pending_request_limit"),
            clock,
        )
        completion = Completion(self.queue, notices, settings, clock, self.prober.ended)
        self.manager = Manager(
            self.queue,
            plan.resolver,
            self._agents,
            completion,
            settings,
            probe_resolver=plan.probe_resolver,
            pickup=pickup.scan,
            clock=clock,
        )

    async def run(self, drain: asyncio.Event, ready: Callable[[], None], *, until_idle: bool = False) -> None:
        """Work until `drain` is set, or once through. A cancelled run leaves what is under way in the queue."""
        loop = asyncio.get_running_loop()
        self.queue.on_failure = end_process
        self.queue.on_new_mail = lambda: _call(loop, self.manager.wake)
        remove_orphans(self.queue)
        ready()
        try:
            await self.manager.run(drain, until_idle=until_idle)
        except asyncio.CancelledError:
            await self.manager.abandon()
            raise
        finally:
            await self._agents.close()
            self.queue.close()

    async def verify(self, bound: socket.socket) -> None:
        """Answer questions about addresses, and clean up what is known of them from time to time."""
        config = self._plan.config
        server = await asyncio.start_unix_server(VerifyServer(self.prober).serve, sock=bound, **KEEP_FILE)
        pause = config.seconds("address_verify_cache_cleanup_interval")
        try:
            while True:
                try:
                    self.prober.cache.clean()
                except TableError as error:
                    logger.warning("%s", error)
                await asyncio.sleep(pause or math.inf)
        finally:
            server.close()

    def listen(self, bound: socket.socket) -> None:
        """Take requests from a datagram or stream socket."""
        loop = asyncio.get_running_loop()
        if bound.type == socket.SOCK_DGRAM:
            loop.add_reader(bound, self._receive, bound)
        else:
            loop.add_reader(bound, self._accept, bound)

    def _accept(self, bound: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = bound.accept()
            connection.setblocking(False)
            asyncio.get_running_loop().add_reader(connection, self._receive, connection)

    def _receive(self, source: socket.socket) -> None:
        try:
            request, descriptors, _, _ = socket.recv_fds(source, CONTROL_SIZE, 1)
        except BlockingIOError:
            return
        except OSError:
            request, descriptors = b"", []
        answers = {control.ACTIVE_REQUEST: self._active, control.PENDING_REQUEST: self._pending}
        if request in answers and descriptors:
            self._answers.add(task := asyncio.create_task(self._tell(descriptors.pop(), answers[request]())))
            task.add_done_callback(self._answers.discard)
        for fd in descriptors:
            os.close(fd)
        if not request and source.type == socket.SOCK_STREAM:
            asyncio.get_running_loop().remove_reader(source)
            source.close()
        elif request not in answers:
            self.request(request)

    def _active(self) -> bytes:
        return control.reply(self.manager.active_ids)

    def _pending(self) -> bytes:
        return control.Pending(self.manager.idle, self.manager.until_due()).wire()

    async def _tell(self, fd: int, answer: bytes) -> None:
        """Write to the descriptor that came with the question; whoever does not read is left."""
        with contextlib.suppress(OSError, TimeoutError), socket.socket(fileno=fd) as asker:
            asker.setblocking(False)
            async with asyncio.timeout(control.PATIENCE):
                await asyncio.get_running_loop().sock_sendall(asker, answer)

    def request(self, request: bytes) -> None:
        """One control request: letters as Postfix's trigger protocol has them, or `retry QUEUE_ID`, `site DOMAIN`."""
        if request.startswith(b"retry "):
            self.manager.retry(request[6:].decode("ascii", "replace").strip())
            return
        if request.startswith(control.SITE_REQUEST):
            self.manager.flush_site(request.removeprefix(control.SITE_REQUEST).decode("ascii", "replace").strip())
            return
        letters = {request[position : position + 1] for position in range(len(request))}
        if IGNORE_TIME in letters or FLUSH_DEAD in letters:
            self.manager.flush()
        elif SCAN_DEFERRED in letters:
            self.manager.scan_deferred()
        if SCAN_INCOMING in letters:
            self.manager.wake()


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended; the next queue manager finds the mail
        loop.call_soon_threadsafe(callback)


async def lock(queue_directory: Path, patience: float = LOCK_PATIENCE) -> int:
    """Become the one queue manager; returns the descriptor to keep open. Raises QueueLocked."""
    path = queue_directory / layout.MANAGER_LOCK
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, layout.FILE_MODE)
    layout.give_to_owner(fd, queue_directory)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                raise QueueLocked(f"{path}: another queue manager works on this queue") from None
        else:
            return fd
        await asyncio.sleep(0.05)


def prepare(config: MainConfig, sockets: Sequence[Bound]) -> Serve:
    """See the service contract of the supervisor. Raises ConfigErrors, OSError."""
    plan = make_plan(config)

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        fd = await lock(Path(config.str("queue_directory")))
        try:
            service = Service(plan)
            verifying = []
            for bound in sockets:
                if bound.tag == "verify":
                    verifying.append(asyncio.create_task(service.verify(bound.socket)))
                else:
                    service.listen(bound.socket)
            try:
                await service.run(drain, ready)
            finally:
                for task in verifying:
                    task.cancel()
        finally:
            os.close(fd)

    return serve
