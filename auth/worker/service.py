"""The auth worker as a process: for each connection it forks one process that reads the question and answers it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import pwd
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, Protocol

from auth.dovecotconf import DovecotConfig

from . import ANSWER_SECONDS, DRIVERS, answers
from .client import receive

log = logging.getLogger("dovecot.auth-worker")

ACCEPT_PAUSE = 0.5
"""Seconds to wait after accept() or fork() has failed for want of descriptors, memory or processes."""

OWN_LIMIT = 30
"""Questions at once of a worker without a dovecot.conf, Dovecot's default of auth_worker_max_count."""

_PR_SET_PDEATHSIG = 1


class Bound(Protocol):
    """A listening, non-blocking socket."""

    @property
    def socket(self) -> socket.socket:
        """The socket."""


Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


def drivers(config: DovecotConfig) -> frozenset[str]:
    """The configured drivers that the worker answers for; empty: no worker is needed."""
    blocks = [*config.blocks("passdb"), *config.blocks("userdb")]
    return DRIVERS & {block.str("driver") for block in blocks}


def fork(body: Callable[[], object]) -> int:
    """Run ``body`` in a process of its own that dies with this one; its process id. For programs without supervisor."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            die_with(parent)
            body()
            status = 0
        except BaseException as error:
            log.critical("%s", type(error).__name__, exc_info=error)
        finally:
            os._exit(status)
    return pid


def run(listener: socket.socket, wanted: frozenset[str]) -> None:
    """Be a worker behind a listening socket until SIGTERM; for programs without a dovecot.conf."""

    async def serve() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        worker = _Worker(wanted, OWN_LIMIT, "")
        task = asyncio.create_task(worker.accept(listener))
        await stop.wait()
        task.cancel()

    asyncio.run(serve())


def prepare(config: DovecotConfig, sockets: Sequence[Bound]) -> Serve:
    """Read what is to be known; the returned coroutine function serves until it is drained."""
    wanted = drivers(config)
    limit = max(1, config.int("auth_worker_max_count"))
    auth = config.service("auth")
    plain_user = _known(auth.user or config.str("default_internal_user"))

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        worker = _Worker(wanted, limit, plain_user)
        tasks = [asyncio.create_task(worker.accept(bound.socket)) for bound in sockets]
        ready()
        try:
            await drain.wait()
        finally:
            for task in tasks:
                task.cancel()
        await worker.ended()

    return serve


def become(user: pwd.struct_passwd) -> None:
    """Give up root for a user. Raises OSError."""
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (prctl(2)); at once if that is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class _Worker:
    """Its connections, each a forked process."""

    def __init__(self, wanted: frozenset[str], limit: int, plain_user: str) -> None:
        self._wanted = wanted
        self._plain_user = plain_user
        self._free = asyncio.Semaphore(limit)
        self._limit = limit

    async def accept(self, listener: socket.socket) -> None:
        """Take connections for ever; at the limit they wait in the kernel's queue."""
        loop = asyncio.get_running_loop()
        while True:
            await self._free.acquire()
            try:
                accepted, _ = await loop.sock_accept(listener)
                with accepted:
                    pid = self._fork(accepted)
            except OSError as error:
                self._free.release()
                log.warning("cannot take a connection: %s", error)
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            except asyncio.CancelledError:
                self._free.release()
                raise
            self._watch(loop, pid)

    async def ended(self) -> None:
        """Wait until all questions have been answered."""
        for _ in range(self._limit):
            await self._free.acquire()

    def _watch(self, loop: asyncio.AbstractEventLoop, pid: int) -> None:
        descriptor = os.pidfd_open(pid)

        def over() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status:
                log.error("process %d ended without an answer: status %d", pid, status)
            self._free.release()

        loop.add_reader(descriptor, over)

    def _fork(self, accepted: socket.socket) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _answer(accepted, self._wanted, self._plain_user, parent)
        return pid


def _known(user: str) -> str:
    """The user, or nobody where the machine has no such one, as it is for the auth service itself."""
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        return "nobody"


def _answer(accepted: socket.socket, wanted: frozenset[str], plain_user: str, parent: int) -> NoReturn:
    """In the child: one question, one answer, the end. Nothing of the event loop is touched."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(int(ANSWER_SECONDS))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        accepted.setblocking(True)
        question = receive(accepted) if os.getppid() == parent else None
        if question is not None:
            if question.get("ask") == "checkpassword" and os.geteuid() == 0:
                become(pwd.getpwnam(plain_user))  # as Dovecot, where the auth process itself runs it
            accepted.sendall(json.dumps(answers.answer(question, wanted)).encode())
        status = 0
    except BaseException as error:
        # Only the kind: a question holds a password.
        log.critical("an answer failed: %s", type(error).__name__)
    finally:
        os._exit(status)
