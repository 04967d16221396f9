"""Runs a supervisor in the foreground: readiness told to whoever waits, the state file, sd_notify."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.supervisor.listeners import Sockets
from lab.supervisor.logs import LogTarget
from lab.supervisor.service import Plan
from lab.supervisor.state import State, birth, namespace
from lab.supervisor.supervisor import Supervisor


def run(
    load: Callable[[], Sequence[Plan]],
    *,
    command: str,
    sockets: Sockets | None = None,
    ready_fd: int | None = None,
    directory: Path | None = None,
    log: LogTarget | None = None,
    announce: Callable[[], None] | None = None,
) -> None:
    """Supervise until told to stop. `announce` is called once everything is ready; the default prints one line.

    Raises LabError if the start fails; nothing then stays behind.
    """
    supervisor = Supervisor(load, sockets, log)
    started = time.time()
    last: State | None = None

    def change() -> None:
        nonlocal last
        last = State(
            pid=os.getpid(),
            born=birth(os.getpid()),
            command=command,
            started=started,
            namespace=namespace(),
            confdirs=[str(plan.confdir) for plan in supervisor.plans],
            directory=str(directory.absolute()) if directory else "",
            services=_services(supervisor),
        )
        try:
            last.write()
            if not supervisor.watching.listens:
                supervisor.watching.listen(last.watch_path)
        except OSError as error:  # `hardmail status` will not know of us; that is no reason to stop serving
            print(f"hardmail: cannot tell status about this process: {error}", file=sys.stderr, flush=True)

    def ready() -> None:
        if announce is None:
            print(f"hardmail: ready (pid {os.getpid()}, {len(supervisor.workers)} processes)", flush=True)
        else:
            announce()
        if ready_fd is not None:
            os.write(ready_fd, b"\n")
            os.close(ready_fd)
        notify("READY=1")

    supervisor.on_change = change
    supervisor.on_ready = ready
    supervisor.on_notify = notify
    try:
        supervisor.run()
    finally:
        if last is not None:
            last.remove()
        with contextlib.suppress(OSError):
            sys.stdout.flush()


def _services(supervisor: Supervisor) -> list[dict[str, object]]:
    services: dict[str, dict[str, object]] = {}
    for plan in supervisor.plans:
        for service in plan.services:
            services[service.title] = {
                "name": service.title,
                "pids": [worker.pid for worker in supervisor.workers if worker.service.title == service.title],
                "listeners": [f"{listener.tag} {listener}" for listener in service.listeners],
                **({"on_demand": True} if service.on_demand else {}),
            }
    return list(services.values())


def notify(state: str) -> None:
    """Tell the service manager (sd_notify(3)): `READY=1`, `RELOADING=1`, `STOPPING=1`. Silent without NOTIFY_SOCKET."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
