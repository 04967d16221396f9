"""The processes of a supervisor: forking them, hearing that they are ready, ending them, and noticing their end."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from lab.supervisor import process
from lab.supervisor.listeners import Sockets
from lab.supervisor.process import DRAIN_SECONDS, FAREWELL_SECONDS
from lab.supervisor.service import Service

log = logging.getLogger("hardmail")

# Seconds for a new process to report that it accepts, and for a stopping one until it is killed.
START_SECONDS = 15.0
KILL_SECONDS = DRAIN_SECONDS + FAREWELL_SECONDS + 0.5


@dataclass(eq=False)
class Worker:
    """One running process of a service."""

    service: Service
    generation: int
    number: int  # its place among the processes of the service, from 0; who comes in its stead has the same
    pid: int
    report: int  # the read end of its report pipe; -1 once it has reported
    started: float
    ready: bool = False
    stopping: bool = False  # its end is wanted
    late: bool = False  # it was killed because it did not get ready
    terminate_at: float | None = None
    kill_at: float | None = None
    said: bytes = b""

    @property
    def reason(self) -> str:
        """Why it could not start, in its own words; empty if it said nothing."""
        return self.said[1:].decode("utf-8", "replace")

    @property
    def deadlines(self) -> list[float]:
        """The moments at which something is to be done about it (monotonic clock)."""
        unready = [] if self.ready or self.stopping else [self.started + START_SECONDS]
        return unready + [moment for moment in (self.terminate_at, self.kill_at) if moment is not None]


class Workers:
    """All processes of a supervisor, in the order of their start."""

    def __init__(self, sockets: Sockets, in_child: Callable[[Service], None]) -> None:
        self._sockets = sockets
        self._in_child = in_child
        self._all: list[Worker] = []
        self._selector = selectors.DefaultSelector()

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._all[:])

    def __len__(self) -> int:
        return len(self._all)

    def generation(self, number: int) -> list[Worker]:
        """The processes that were started from one reading of the configuration."""
        return [worker for worker in self._all if worker.generation == number]

    # -- start -----------------------------------------------------------------------------------------------

    def spawn(self, service: Service, generation: int, count: int = 1) -> None:
        """Fork `count` processes of a service."""
        for _ in range(count):
            receiver, sender = os.pipe()
            supervisor = os.getpid()
            taken = {worker.number for worker in self._all if worker.service is service}
            number = min(set(range(len(taken) + 1)) - taken)
            pid = os.fork()
            if pid == 0:
                self._become(service, number, sender, supervisor)
            os.close(sender)
            os.set_blocking(receiver, False)
            worker = Worker(service, generation, number, pid, receiver, time.monotonic())
            self._all.append(worker)
            self._selector.register(receiver, selectors.EVENT_READ, worker)

    def _become(self, service: Service, number: int, sender: int, supervisor: int) -> NoReturn:
        """In the child: let go of everything that is the supervisor's, and serve."""
        self._in_child(service)
        self._selector.close()
        process.run(service, number, self._sockets, sender, supervisor)

    # -- events ----------------------------------------------------------------------------------------------

    def listen_to(self, sock: socket.socket) -> None:
        """Have `wait` return when this socket has something to read."""
        self._selector.register(sock, selectors.EVENT_READ, None)

    def ignore(self, sock: socket.socket) -> None:
        """The reverse of `listen_to`."""
        self._selector.unregister(sock)

    def wait(self, moments: Iterable[float]) -> None:
        """Wait for a report, for a socket of `listen_to`, or for the next deadline, ours or one of `moments`."""
        due = [*moments, *(moment for worker in self._all for moment in worker.deadlines)]
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                self._hear(key.data)

    def _hear(self, worker: Worker) -> None:
        """Read what a new process says on its pipe: ready, or why not."""
        chunk = os.read(worker.report, 8192)
        worker.said += chunk
        worker.ready = worker.said.startswith(process.READY)
        if worker.ready or not chunk:  # a reason may come in pieces
            self._hang_up(worker)

    def _hang_up(self, worker: Worker) -> None:
        self._selector.unregister(worker.report)
        os.close(worker.report)
        worker.report = -1

    def reap(self) -> list[tuple[Worker, int]]:
        """The processes that have ended, with their exit status or the negative number of the signal."""
        ended = []
        for worker in self:
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                while worker.report >= 0:
                    self._hear(worker)
                self._all.remove(worker)
                ended.append((worker, os.waitstatus_to_exitcode(status)))
        return ended

    # -- end -------------------------------------------------------------------------------------------------

    def terminate(self, workers: Iterable[Worker]) -> None:
        """Tell processes to finish within DRAIN_SECONDS; those that do not are killed."""
        for worker in workers:
            if worker.kill_at is None:
                worker.stopping = True
                worker.terminate_at = None
                worker.kill_at = time.monotonic() + KILL_SECONDS
                os.kill(worker.pid, signal.SIGTERM)

    def drain(self, workers: Iterable[Worker]) -> None:
        """Have processes accept nothing more; they end with their last session, however long that takes."""
        for worker in workers:
            if worker.kill_at is None and not worker.stopping:
                worker.stopping = True
                if worker.service.reload_limit is not None:
                    worker.terminate_at = time.monotonic() + worker.service.reload_limit
                os.kill(worker.pid, signal.SIGHUP)

    def keep_time(self) -> None:
        """End those whose time is up."""
        now = time.monotonic()
        for worker in self:
            if worker.kill_at is not None and now >= worker.kill_at:
                log.warning("process %s pid %d does not end: killed", worker.service.title, worker.pid)
                worker.kill_at = now + KILL_SECONDS
                os.kill(worker.pid, signal.SIGKILL)
            elif worker.terminate_at is not None and now >= worker.terminate_at:
                self.terminate([worker])
            elif not worker.ready and not worker.stopping and now >= worker.started + START_SECONDS:
                log.error("process %s pid %d does not get ready: killed", worker.service.title, worker.pid)
                worker.late, worker.started = True, now
                os.kill(worker.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill whatever still runs, which is nothing unless the supervisor itself failed."""
        for worker in self:
            with contextlib.suppress(OSError):
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
        self._all.clear()
        self._selector.close()
