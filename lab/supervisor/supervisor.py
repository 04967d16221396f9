"""The supervisor: binds every listener, starts the services, and keeps them running until it is told to stop."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lab.errors import LabError
from lab.sandbox.identity import make_directory
from lab.supervisor import logs, process
from lab.supervisor.dormant import Dormant
from lab.supervisor.instance import GRACE_SECONDS, InstanceLock
from lab.supervisor.listeners import Sockets
from lab.supervisor.logs import LogTarget
from lab.supervisor.reload import Reload
from lab.supervisor.service import Plan, Service, listeners_of, services_of
from lab.supervisor.watching import Watching
from lab.supervisor.workers import START_SECONDS, Worker, Workers

log = logging.getLogger("hardmail")

# A crashed service starts again at once, then ever later: 0.1 s doubling to half a minute. One that has
# lived this long had recovered.
BACKOFF_FIRST, BACKOFF_MAX, STEADY_SECONDS = 0.1, 30.0, 10.0
# A service that fails this often before it was ever ready will not get better by itself.
START_ATTEMPTS = 3

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
WATCHED_SIGNALS = (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)


@dataclass(eq=False)
class Restart:
    """A worker that is due to be started again."""

    service: Service
    generation: int
    at: float


class StartFailed(LabError):
    """A service could not start; everything has been stopped again."""

    status = os.EX_CONFIG


class Supervisor:
    """Runs the services of one or more plans. `load` reads the configuration and is called again on SIGHUP.

    `log` is for the supervisor's own lines; without it they go where those of the first plan go.
    """

    def __init__(
        self, load: Callable[[], Sequence[Plan]], sockets: Sockets | None = None, log: LogTarget | None = None
    ) -> None:
        self._load = load
        self._log = log
        self.sockets = sockets or Sockets()
        self.plans: Sequence[Plan] = ()
        self.workers = Workers(self.sockets, self._in_child)
        self.on_ready: Callable[[], None] = lambda: None
        self.on_change: Callable[[], None] = lambda: None
        self.on_notify: Callable[[str], None] = lambda state: None
        self.watching = Watching(self.workers)
        self._dormant = Dormant(self.sockets, self.workers)
        self._restarts: list[Restart] = []
        self._failures: dict[str, int] = {}
        self._locks: list[InstanceLock] = []
        self._generation = 1
        self._announced = False
        self._stopping = False
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._error: LabError | None = None
        self._wakeup = socket.socketpair()

    def run(self) -> None:
        """Start everything, serve until SIGTERM or SIGINT, stop everything. Raises LabError if it cannot start."""
        try:
            self._start()
            while self.workers or self._restarts or not self._stopping:
                self.workers.wait(restart.at for restart in self._restarts)
                self._read_signals()
                self.watching.advance()
                for worker, code in self.workers.reap():
                    self._ended(worker, code)
                    self.on_change()
                self.workers.keep_time()
                self._wake_dormant()
                self._start_again()
                self._advance()
        finally:
            self._clean_up()
        if self._error:
            raise self._error

    # -- start -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        process.set_name("hardmail")
        self.plans = self._load()
        self._watch_signals()
        logs.configure(self._log or self.plans[0].log)
        self._lock(self.plans)
        self._prepare_directories(self.plans)
        wanted = listeners_of(self.plans)
        self.sockets.close_all_but(wanted)
        stale = any(lock.stale for lock in self._locks)  # the processes of a killed predecessor may hold a port yet
        self.sockets.bind(wanted, patience=GRACE_SECONDS if stale else 0.0)
        gc.disable()
        for service in sorted(services_of(self.plans), key=lambda service: service.order):
            self._import(service)
            gc.freeze()  # what is there now stays shared between the processes
            if not service.on_demand:
                self.workers.spawn(service, self._generation, service.workers)
        self._dormant.watch(service for service in services_of(self.plans) if service.on_demand)
        gc.enable()
        for plan in self.plans:
            for warning in plan.warnings():
                log.warning("%s", warning)

    def _lock(self, plans: Iterable[Plan]) -> None:
        for plan in plans:
            for path in plan.pid_files:
                try:
                    make_directory(path.parent, 0o755)
                except OSError as error:
                    raise LabError(f"{error.filename or path.parent}: {error.strerror}") from None
                lock = InstanceLock(path)
                lock.acquire()
                self._locks.append(lock)

    @staticmethod
    def _prepare_directories(plans: Iterable[Plan]) -> None:
        for plan in plans:
            try:
                for directory in plan.directories:
                    make_directory(directory.path, directory.mode, directory.owner, directory.gid)
                for step in plan.prepare:
                    step()
            except OSError as error:
                raise LabError(f"{error.filename or plan.confdir}: {error.strerror}") from None

    @staticmethod
    def _import(service: Service) -> None:
        """Import a service's modules before the fork: a fast start, and memory that is shared."""
        for name in (service.entry.partition(":")[0], *service.preload, *process.PRELOAD):
            with contextlib.suppress(ImportError):  # told by the process that needs it
                importlib.import_module(name)

    def _watch_signals(self) -> None:
        """Every signal becomes an octet on a socket, so that the loop has one place to wait."""
        for end in self._wakeup:
            end.setblocking(False)
        for number in WATCHED_SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        self.workers.listen_to(self._wakeup[0])

    def _in_child(self, service: Service) -> None:
        self.watching.in_child(service.title)
        for lock in self._locks:
            lock.forget()
        for end in self._wakeup:
            end.close()

    # -- events ----------------------------------------------------------------------------------------------

    def _read_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self._wakeup[0].recv(4096):
                if number in STOP_SIGNALS:
                    log.info("terminating on signal %d", number)
                    self.stop()
                elif number == signal.SIGHUP:
                    self._reload_wanted = True

    def _ended(self, worker: Worker, code: int) -> None:
        """Decide what the end of a process means."""
        if worker.stopping or self._stopping:
            return
        service = worker.service
        how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        log.warning("process %s pid %d %s", service.title, worker.pid, how)
        if code == os.EX_UNAVAILABLE:  # not part of this installation: starting it again would not help
            return
        recovered = worker.ready and time.monotonic() - worker.started > STEADY_SECONDS
        failures = 0 if recovered else self._failures.get(service.title, 0)
        self._failures[service.title] = failures + 1
        how = f"not ready after {START_SECONDS:.0f} s" if worker.late else how
        reason = worker.reason or f"{service.title}: {how}; the log may tell more"
        hopeless = not worker.ready and (code == os.EX_CONFIG or worker.late or failures + 1 >= START_ATTEMPTS)
        if hopeless and not self._announced:
            self._error = StartFailed(reason)
            self.stop()
        elif hopeless and self._reload and worker.generation == self._reload.generation and not self._reload.replaced:
            self._abandon(self._reload, reason)
        else:
            delay = min(BACKOFF_FIRST * 2**failures, BACKOFF_MAX)
            self._restarts.append(Restart(service, worker.generation, time.monotonic() + delay))

    def _start_again(self) -> None:
        now = time.monotonic()
        for restart in [restart for restart in self._restarts if now >= restart.at]:
            self._restarts.remove(restart)
            self.workers.spawn(restart.service, restart.generation)
            self.on_change()

    def _wake_dormant(self) -> None:
        for service in [] if self._stopping else self._dormant.wanted():
            self.workers.spawn(service, self._generation, service.workers)
            self.on_change()

    def _advance(self) -> None:
        """Take the steps that wait for a state of all processes: announce, reload, the last part of a stop."""
        if self._stopping:
            if all(worker.service.outlives for worker in self.workers):
                self.workers.terminate(self.workers)
        elif not self._announced:
            if not self._restarts and all(worker.ready for worker in self.workers):
                self._announced = True
                self.on_change()
                self.on_ready()
        elif self._reload:
            self._advance_reload(self._reload)
        elif self._reload_wanted:
            self._reload_wanted = False
            self._begin_reload()

    # -- stop ------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop every service: those that others rely on last."""
        if not self._stopping:
            self._stopping = True
            self._restarts.clear()
            self.on_notify("STOPPING=1")
            self.workers.terminate(worker for worker in self.workers if not worker.service.outlives)

    def _clean_up(self) -> None:
        self.workers.close()
        self.watching.close()
        self.sockets.close_all_but(())
        for lock in self._locks:
            lock.release()
        signal.set_wakeup_fd(-1)
        for end in self._wakeup:
            end.close()

    # -- reload ----------------------------------------------------------------------------------------------

    def _begin_reload(self) -> None:
        """Read the configuration anew; an error in it changes nothing."""
        self.on_notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            logs.reopen()
            plans = self._load()
            if [plan.pid_files for plan in plans] != [plan.pid_files for plan in self.plans]:
                raise LabError("queue_directory and base_dir cannot change while running: stop and start instead")
            self._prepare_directories(plans)
            for service in services_of(plans):
                self._import(service)
            latest = max((worker.generation for worker in self.workers), default=self._generation)
            self._reload = Reload.begin(plans, latest + 1, self.sockets, self.workers)
        except (LabError, OSError) as error:
            for line in getattr(error, "lines", (str(error),)):
                log.error("reload: %s", line)
            log.error("reload: the configuration in use stays")
            self.on_notify("READY=1")

    def _advance_reload(self, reload: Reload) -> None:
        if any(restart.generation == reload.generation for restart in self._restarts):
            return
        if reload.ready_to_replace(self.workers):
            self._dormant.forget_all()
            reload.replace(self.sockets, self.workers)
            self.plans, self._generation = reload.plans, reload.generation
            self._dormant.watch(service for service in services_of(self.plans) if service.on_demand)
            self._restarts.clear()  # whatever of the old generation had crashed
        if reload.replaced and reload.advance(self.workers):
            self._reload = None
            log.info("reload: generation %d serves", reload.generation)
            self.on_change()
            self.on_notify("READY=1")

    def _abandon(self, reload: Reload, reason: str) -> None:
        self._reload = None
        self._restarts = [restart for restart in self._restarts if restart.generation != reload.generation]
        reload.abandon(self.sockets, self.workers, reason)
        self.on_notify("READY=1")
