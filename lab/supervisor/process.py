"""The life of one service process, from the fork to its exit."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from auth import wiretap
from lab.supervisor import logs
from lab.supervisor.listeners import Bound, Sockets
from lab.supervisor.service import Service

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]

log = logging.getLogger("hardmail")

# Seconds that sessions get to finish once the process is told to stop, and then to say goodbye.
DRAIN_SECONDS = 2.0
FAREWELL_SECONDS = 0.7

# Descriptors of one process: a client costs one, its mailbox a handful.
OPEN_FILES = 65536

# Objects made until the cycle collector looks: a mail makes a thousand and leaves few that only it can free.
GC_THRESHOLDS = (10_000, 20, 20)

# Who may connect anywhere may also choose the address that he connects from (smtp_bind_address), not the port.
SOURCE_PORTS = (0,)

# What every process needs that is not imported above: loaded before the fork.
PRELOAD = ("lab.sandbox", "uvloop")

READY = b"R"
FAILED = b"E"
REPORT_MAX = 4000  # octets of a failure report; fits the pipe's buffer, so the child never blocks on it

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)


class ServiceUnavailable(Exception):
    """The module of the service is not part of this installation."""


def run(service: Service, number: int, sockets: Sockets, report: int, supervisor: int) -> NoReturn:
    """Be the service: never returns. `report` is the pipe that tells the supervisor READY or FAILED with a reason.

    `number`: which of the service's processes this is, from 0; its sockets' options tell it as `worker`.
    """
    status = os.EX_SOFTWARE
    try:
        die_with(supervisor)
        status = _serve(service, number, sockets, report, supervisor)
    except ServiceUnavailable as error:
        log.critical("service %s: %s", service.title, error)
        status = os.EX_UNAVAILABLE
    except BaseException as error:
        log.critical("service %s failed", service.title, exc_info=error)
        _fail(report, f"{service.title}: {_reason(error)}")
    finally:
        _end(status)


def _end(status: int) -> NoReturn:
    """The end of the process; what was logged is written first."""
    logging.shutdown()
    os._exit(status)


def _serve(service: Service, number: int, sockets: Sockets, report: int, supervisor: int) -> int:
    _reset_signals()
    set_name(service.name)
    sockets.forget(service.listeners)
    listening = {sockets[listener].fileno() for listener in service.listeners}
    _close_others({report, *listening, *logs.descriptors(), *wiretap.descriptors()})
    logs.configure(service.log)
    bound = [
        Bound(sockets[listener], listener.tag, {**listener.options, "worker": str(number)})
        for listener in service.listeners
    ]
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    for name in service.late:
        with contextlib.suppress(ImportError, LookupError):  # a codec of another platform
            importlib.import_module(name)
    try:
        serve = entry(service.entry)(service.config, bound)
    except (OSError, ValueError, LookupError) as error:  # configuration and files: the operator's to mend
        log.critical("%s", _reason(error))
        _fail(report, f"{service.title}: {_reason(error)}")
        return os.EX_CONFIG
    confine(service, supervisor)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_main(service, serve, report))


async def _main(service: Service, serve: Serve, report: int) -> int:
    drain = asyncio.Event()
    loop = asyncio.get_running_loop()
    told = False

    def ready() -> None:
        nonlocal told
        if not told:
            told = True
            os.write(report, READY)
            os.close(report)

    async def body() -> None:
        await serve(drain, ready)

    task = asyncio.create_task(body(), name=service.name)

    def stop() -> None:
        drain.set()
        loop.call_later(DRAIN_SECONDS, task.cancel)
        # A service that does not return after its farewell is ended by force; its data are crash-safe.
        loop.call_later(DRAIN_SECONDS + FAREWELL_SECONDS, _end, os.EX_OK)

    loop.add_signal_handler(signal.SIGHUP, drain.set)
    loop.add_signal_handler(signal.SIGTERM, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    if drain.is_set():
        return os.EX_OK
    log.critical("service %s ended without being told to", service.title)
    return os.EX_SOFTWARE


def entry(name: str) -> Callable[[object, list[Bound]], Serve]:
    """The `prepare` function that "module:function" names. Raises ServiceUnavailable if the module is not installed."""
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        raise ServiceUnavailable(f"{module} is not installed ({error})") from None
    except AttributeError:
        raise ServiceUnavailable(f"{module} has no {function}") from None


def confine(service: Service, supervisor: int) -> None:
    """Give up what the service does not need: user, group, files, network, resources. Raises SandboxError."""
    from lab.sandbox import Confinement, Limits
    from lab.sandbox import confine as enter

    who, rules = service.identity, service.rules
    enforced = enter(
        Confinement(
            user=who.uid if who else None,
            group=who.gid if who else None,
            groups=who.groups if who else (),
            chroot=rules.chroot,
            read=rules.read,
            execute=rules.execute,
            write=rules.write,
            tcp_connect=rules.connect,
            tcp_bind=SOURCE_PORTS if rules.connect is True else (),
            limits=Limits(open_files=OPEN_FILES),
            parent=supervisor,
            landlock=rules.landlock,
        )
    )
    log.debug("%s confined: %s", service.title, enforced)


def set_name(name: str) -> None:
    """The name of this process in ps(1), top(1) and in our own messages (15 octets)."""
    _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def die_with(supervisor: int) -> None:
    """Have the kernel kill this process when the supervisor dies, however that happens (prctl(2))."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before the call
        os._exit(os.EX_UNAVAILABLE)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is installed, else asyncio's own loop."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)  # standard output is the supervisor's: it is where `up --json` speaks
    os.close(null)


def _close_others(keep: set[int]) -> None:
    """Close what the supervisor was started with or holds for itself: a service inherits its listeners only."""
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number > 2 and number not in keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor
                os.close(number)


def _reason(error: BaseException) -> str:
    lines = getattr(error, "lines", None) or getattr(error, "errors", None)
    if lines:
        return "; ".join(str(line) for line in lines)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


def _fail(report: int, reason: str) -> None:
    with contextlib.suppress(OSError):  # told already that it was ready
        os.write(report, FAILED + reason.encode("utf-8", "replace")[:REPORT_MAX])
    sys.stderr.flush()
