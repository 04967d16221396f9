"""The supervisor: binds every listener, forks one process per service, and keeps them running until told to stop."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from lab import logs, process
from lab.errors import LabError
from lab.identity import make_directory
from lab.instance import GRACE_SECONDS, InstanceLock
from lab.listeners import Key, Listener, Sockets
from lab.process import DRAIN_SECONDS, FAREWELL_SECONDS
from lab.service import Plan, Service

log = logging.getLogger("hardmail")

# A crashed service starts again at once, then ever later: 0.1 s doubling to half a minute. One that has
# lived this long had recovered.
BACKOFF_FIRST, BACKOFF_MAX, STEADY_SECONDS = 0.1, 30.0, 10.0
# A service that fails this often before it was ever ready will not get better by itself.
START_ATTEMPTS = 3
# Seconds for a new process to report that it accepts, and for a stopping one beyond its own drain time.
START_SECONDS = 15.0
KILL_SECONDS = DRAIN_SECONDS + FAREWELL_SECONDS + 0.5

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
WATCHED_SIGNALS = (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD)


@dataclass(eq=False)
class Worker:
    """One running process of a service."""

    service: Service
    generation: int
    pid: int
    report: int  # the read end of its report pipe; -1 once it has reported
    started: float
    ready: bool = False
    stopping: bool = False
    terminate_at: float | None = None
    kill_at: float | None = None
    late: bool = False
    said: bytes = b""


@dataclass(eq=False)
class Restart:
    """A worker that is due to be started again."""

    service: Service
    generation: int
    at: float


@dataclass
class Reload:
    """A reload under way: the new plans, and the listeners bound for them."""

    plans: Sequence[Plan]
    generation: int
    fresh: list[Key]
    waiting: list[Service] = field(default_factory=list)  # exclusive services whose old process is still there


class StartFailed(LabError):
    """A service could not start; everything has been stopped again."""

    status = os.EX_CONFIG


class Supervisor:
    """Runs the services of one or more plans. `load` reads the configuration and is called again on SIGHUP."""

    def __init__(self, load: Callable[[], Sequence[Plan]], sockets: Sockets | None = None) -> None:
        self._load = load
        self.sockets = sockets or Sockets()
        self.plans: Sequence[Plan] = ()
        self.workers: list[Worker] = []
        self.restarts: list[Restart] = []
        self.on_ready: Callable[[], None] = lambda: None
        self.on_change: Callable[[], None] = lambda: None
        self.on_notify: Callable[[str], None] = lambda state: None
        self._locks: list[InstanceLock] = []
        self._generation = 1
        self._failures: dict[str, int] = {}
        self._announced = False
        self._stopping = False
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._error: LabError | None = None
        self._selector = selectors.DefaultSelector()
        self._wakeup: tuple[socket.socket, socket.socket] | None = None

    # -- start -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start everything, serve until SIGTERM or SIGINT, stop everything. Raises LabError if it cannot start."""
        try:
            self.plans = self._load()
            self._watch_signals()
            logs.configure(self.plans[0].log)
            for plan in self.plans:
                for warning in plan.warnings:
                    log.warning("%s", warning)
            self._lock(self.plans)
            self._prepare_directories(self.plans)
            self._close_unwanted(self.plans)
            self.sockets.bind(_listeners(self.plans), patience=self._patience())
            self._import(self.plans)
            gc.collect()
            gc.freeze()
            for service in _services(self.plans):
                self._spawn_all(service, self._generation)
            self._loop()
        finally:
            self._clean_up()
        if self._error:
            raise self._error

    def _lock(self, plans: Iterable[Plan]) -> None:
        for plan in plans:
            for path in plan.pid_files:
                make_directory(path.parent, 0o755)
                lock = InstanceLock(path)
                lock.acquire()
                self._locks.append(lock)

    def _patience(self) -> float:
        return GRACE_SECONDS if any(lock.stale for lock in self._locks) else 0.0

    @staticmethod
    def _prepare_directories(plans: Iterable[Plan]) -> None:
        for plan in plans:
            for directory in plan.directories:
                try:
                    make_directory(directory.path, directory.mode, directory.owner, directory.gid)
                except OSError as error:
                    raise LabError(f"cannot make {directory.path}: {error.strerror}") from None
            try:
                for step in plan.prepare:
                    step()
            except OSError as error:
                raise LabError(f"{error.filename or plan.confdir}: {error.strerror}") from None

    @staticmethod
    def _import(plans: Iterable[Plan]) -> None:
        """Import the services' modules before the fork: a fast start, and memory that is shared."""
        for service in _services(plans):
            for name in (service.entry.partition(":")[0], *service.preload, *process.PRELOAD):
                with contextlib.suppress(ImportError, LookupError):  # told by the process that needs it
                    importlib.import_module(name)

    def _watch_signals(self) -> None:
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        self._wakeup = (reader, writer)
        for number in WATCHED_SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, None)

    def _spawn_all(self, service: Service, generation: int) -> None:
        for _ in range(service.workers):
            self._spawn(service, generation)

    def _spawn(self, service: Service, generation: int) -> None:
        receiver, sender = os.pipe()
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(receiver)
            self._become_child()
            process.run(service, self.sockets, sender, supervisor)
        os.close(sender)
        os.set_blocking(receiver, False)
        worker = Worker(service, generation, pid, receiver, time.monotonic())
        self.workers.append(worker)
        self._selector.register(receiver, selectors.EVENT_READ, worker)

    def _become_child(self) -> None:
        """In the child: let go of everything that is the supervisor's."""
        for lock in self._locks:
            lock.forget()
        for worker in self.workers:
            if worker.report >= 0:
                os.close(worker.report)
        self._selector.close()
        if self._wakeup:
            for end in self._wakeup:
                end.close()

    # -- the loop --------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while self.workers or self.restarts or not self._stopping:
            for key, _ in self._selector.select(self._timeout()):
                if key.data is None:
                    self._signals()
                else:
                    self._report(key.data)
            self._reap()
            self._clock()
            self._advance()

    def _timeout(self) -> float | None:
        times = [restart.at for restart in self.restarts]
        for worker in self.workers:
            times += [moment for moment in (worker.kill_at, worker.terminate_at) if moment is not None]
        times += [worker.started + START_SECONDS for worker in self.workers if not worker.ready]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _signals(self) -> None:
        assert self._wakeup
        with contextlib.suppress(BlockingIOError):
            for number in self._wakeup[0].recv(4096):
                if number in STOP_SIGNALS:
                    self.stop()
                elif number == signal.SIGHUP:
                    self._reload_wanted = True

    def _report(self, worker: Worker) -> None:
        """Read what a new process says on its pipe: ready, or why not."""
        chunk = os.read(worker.report, 8192)
        worker.said += chunk
        if chunk and not worker.said.startswith(process.READY):
            return  # a reason, of which more may follow
        self._hang_up(worker)
        worker.ready = worker.said.startswith(process.READY)

    def _hang_up(self, worker: Worker) -> None:
        if worker.report >= 0:
            self._selector.unregister(worker.report)
            os.close(worker.report)
            worker.report = -1

    def _reap(self) -> None:
        for worker in self.workers[:]:
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                if worker.report >= 0:
                    self._report(worker)
                self._hang_up(worker)
                self.workers.remove(worker)
                self._gone(worker, os.waitstatus_to_exitcode(status))
                self.on_change()

    def _gone(self, worker: Worker, code: int) -> None:
        """Decide what the end of a process means."""
        if worker.stopping or self._stopping:
            return
        service = worker.service
        how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        log.warning("process %s pid %d %s", service.title, worker.pid, how)
        if code == os.EX_UNAVAILABLE:  # not part of this installation: starting it again would not help
            return
        lived = time.monotonic() - worker.started
        failures = 0 if worker.ready and lived > STEADY_SECONDS else self._failures.get(service.title, 0)
        self._failures[service.title] = failures + 1
        how = f"not ready after {START_SECONDS:.0f} s" if worker.late else how
        reason = worker.said[1:].decode("utf-8", "replace") or f"{service.title}: {how}; the log may tell more"
        hopeless = not worker.ready and (code == os.EX_CONFIG or worker.late or failures + 1 >= START_ATTEMPTS)
        if hopeless and not self._announced:
            self._error = StartFailed(reason)
            self.stop()
        elif hopeless and self._reload and worker.generation == self._reload.generation:
            self._abandon_reload(reason)
        else:
            delay = min(BACKOFF_FIRST * 2**failures, BACKOFF_MAX)
            self.restarts.append(Restart(service, worker.generation, time.monotonic() + delay))

    def _clock(self) -> None:
        now = time.monotonic()
        for worker in self.workers:
            if worker.kill_at is not None and now >= worker.kill_at:
                log.warning("process %s pid %d does not end: killed", worker.service.title, worker.pid)
                os.kill(worker.pid, signal.SIGKILL)
                worker.kill_at = now + KILL_SECONDS
            elif worker.terminate_at is not None and now >= worker.terminate_at:
                self._terminate([worker])
            elif not worker.ready and not worker.stopping and now >= worker.started + START_SECONDS:
                log.error("process %s pid %d did not get ready in time: killed", worker.service.title, worker.pid)
                os.kill(worker.pid, signal.SIGKILL)
                worker.late = True
                worker.started = now
        for restart in [restart for restart in self.restarts if now >= restart.at]:
            self.restarts.remove(restart)
            self._spawn(restart.service, restart.generation)
            self.on_change()

    def _advance(self) -> None:
        """Take the steps that wait for a state of all processes: announce, reload, the last part of a stop."""
        if self._stopping:
            if all(worker.service.outlives for worker in self.workers):
                self._terminate(self.workers)
            return
        current = [worker for worker in self.workers if worker.generation == self._generation]
        if not self._announced and not self.restarts and all(worker.ready for worker in current):
            self._announced = True
            self.on_change()
            self.on_ready()
        if self._reload:
            self._continue_reload(self._reload)
        elif self._reload_wanted and self._announced:
            self._reload_wanted = False
            self._begin_reload()

    # -- stop ------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop every service: those that others rely on last."""
        if self._stopping:
            return
        self._stopping = True
        self.on_notify("STOPPING=1")
        self.restarts.clear()
        self._terminate([worker for worker in self.workers if not worker.service.outlives])

    @staticmethod
    def _terminate(workers: Iterable[Worker]) -> None:
        for worker in workers:
            if worker.kill_at is None:
                worker.stopping = True
                worker.terminate_at = None
                worker.kill_at = time.monotonic() + KILL_SECONDS
                os.kill(worker.pid, signal.SIGTERM)

    def _clean_up(self) -> None:
        for worker in self.workers:  # only after an error of our own
            with contextlib.suppress(OSError):
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
        self.workers.clear()
        self.sockets.close_all()
        for lock in self._locks:
            lock.release()
        self._locks.clear()
        signal.set_wakeup_fd(-1)
        self._selector.close()
        if self._wakeup:
            for end in self._wakeup:
                end.close()

    # -- reload ----------------------------------------------------------------------------------------------

    def _begin_reload(self) -> None:
        """Read the configuration anew and start the next generation beside the present one, on the same sockets."""
        self.on_notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            logs.reopen()
            plans = self._load()
            if [plan.pid_files for plan in plans] != [plan.pid_files for plan in self.plans]:
                raise LabError("queue_directory and base_dir cannot change while running: stop and start instead")
            self._prepare_directories(plans)
            fresh = self.sockets.bind(_listeners(plans))
        except (LabError, OSError) as error:
            for line in getattr(error, "lines", (str(error),)):
                log.error("reload: %s", line)
            log.error("reload: the configuration in use stays")
            self.on_notify("READY=1")
            return
        generation = max(worker.generation for worker in self.workers) + 1 if self.workers else self._generation + 1
        self._reload = Reload(plans, generation, fresh)
        self._import(plans)
        for service in _services(plans):
            if service.exclusive:
                self._reload.waiting.append(service)
            else:
                self._spawn_all(service, generation)

    def _continue_reload(self, reload: Reload) -> None:
        new = [worker for worker in self.workers if worker.generation == reload.generation]
        if self._generation != reload.generation:
            if any(r.generation == reload.generation for r in self.restarts) or not all(worker.ready for worker in new):
                return
            self._retire(reload)
        busy = {w.service.title for w in self.workers if w.service.exclusive and w.generation < reload.generation}
        for service in [service for service in reload.waiting if service.title not in busy]:
            reload.waiting.remove(service)
            self._spawn_all(service, reload.generation)
            new = [worker for worker in self.workers if worker.generation == reload.generation]
        if not reload.waiting and all(worker.ready for worker in new):
            self._reload = None
            log.info("reload: generation %d serves", reload.generation)
            self.on_change()
            self.on_notify("READY=1")

    def _retire(self, reload: Reload) -> None:
        """The new processes accept: the old ones drain, and listeners that are no longer wanted close."""
        self._generation = reload.generation
        self.plans = reload.plans
        self.restarts = [restart for restart in self.restarts if restart.generation == reload.generation]
        for worker in [worker for worker in self.workers if worker.generation < reload.generation]:
            worker.stopping = True
            if worker.service.exclusive:
                self._terminate([worker])
            elif worker.kill_at is None:
                os.kill(worker.pid, signal.SIGHUP)
                if worker.service.reload_limit is not None:
                    worker.terminate_at = time.monotonic() + worker.service.reload_limit
        self._close_unwanted(reload.plans)

    def _close_unwanted(self, plans: Iterable[Plan]) -> None:
        wanted = {listener.key for listener in _listeners(plans)}
        self.sockets.close([key for key in self.sockets if key not in wanted])

    def _abandon_reload(self, reason: str) -> None:
        assert self._reload
        generation = self._reload.generation
        log.error("reload: %s", reason)
        log.error("reload: the configuration in use stays")
        self._terminate([worker for worker in self.workers if worker.generation == generation])
        self.restarts = [restart for restart in self.restarts if restart.generation != generation]
        self.sockets.close(self._reload.fresh)
        self._reload = None
        self.on_notify("READY=1")


def _services(plans: Iterable[Plan]) -> list[Service]:
    return [service for plan in plans for service in plan.services]


def _listeners(plans: Iterable[Plan]) -> list[Listener]:
    return [listener for service in _services(plans) for listener in service.listeners]
