"""What running supervisors tell about themselves: one small file each, for status, reload and stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError, NotRunning

# Seconds to wait for a supervisor that was told to stop, before and after it is killed.
STOP_SECONDS, KILLED_SECONDS = 10.0, 2.0


@dataclass(frozen=True)
class State:
    """A running supervisor."""

    pid: int
    born: int  # its start time in clock ticks since boot: process ids are used again
    command: str  # run, up or demo
    started: float  # seconds since the epoch
    namespace: str  # of its process id (pid_namespaces(7)): in another one the number means another process
    confdirs: list[str]
    directory: str = ""  # the lab directory of `up`
    services: list[dict[str, Any]] = field(default_factory=list)  # name, pids, listeners

    @property
    def path(self) -> Path:
        """Where this state is kept. Containers may share the directory, and the same number runs in several of them."""
        space = "".join(filter(str.isdigit, self.namespace))
        return runtime_directory() / f"{space}-{self.pid}.json"

    @property
    def watch_path(self) -> Path:
        """The socket of `hardmail watch`."""
        return self.path.with_suffix(".watch")

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return birth(self.pid) == self.born

    def write(self) -> None:
        """Put the state in place in one step."""
        temporary = self.path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
            json.dump(asdict(self), file)
        temporary.replace(self.path)

    def remove(self) -> None:
        """Take the state away, those of killed supervisors too, and the directory if nothing is left in it."""
        self.path.unlink(missing_ok=True)
        running()


def runtime_directory() -> Path:
    """The directory of the state files, 0700: below XDG_RUNTIME_DIR, else in the temporary directory.

    Raises LabError if the directory belongs to someone else.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(base, "hardmail") if base else Path(tempfile.gettempdir(), f"hardmail-{os.geteuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise LabError(f"{path} must be a directory of yours with mode 0700: remove it and try again")
    return path


def birth(pid: int) -> int:
    """The start time of a process in clock ticks since boot; 0 if there is none (proc(5), stat field 22)."""
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def namespace() -> str:
    """The process id namespace of this process; empty where the system does not tell."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def running() -> list[State]:
    """The supervisors of this user that run now, the youngest first; files left by killed ones are removed."""
    directory = runtime_directory()
    here = namespace()
    states = []
    for path in directory.glob("*.json"):
        try:
            state = State(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue
        if state.namespace != here:
            continue  # whether it lives can only be told from within
        if state.alive:
            states.append(state)
        else:
            path.unlink(missing_ok=True)
            path.with_suffix(".watch").unlink(missing_ok=True)
    if not states:
        with contextlib.suppress(OSError):
            directory.rmdir()
    return sorted(states, key=lambda state: state.started, reverse=True)


def find(directory: Path | None = None, confdir: Path | None = None) -> State:
    """The supervisor of a lab directory or configuration directory, else the youngest lab. Raises NotRunning."""
    states = running()
    if directory is not None:
        states = [state for state in states if state.directory == str(directory.absolute())]
    if confdir is not None:
        states = [state for state in states if str(confdir.absolute()) in state.confdirs]
    if directory is None and confdir is None:  # `hardmail run` may be in service: it must be named
        states = [state for state in states if state.directory]
    if not states:
        what = directory or confdir
        raise NotRunning(f"nothing runs for {what}" if what else "no lab runs; start one with: hardmail up")
    return states[0]


def stop(state: State) -> None:
    """Tell a supervisor to stop and wait until it has gone. Raises LabError if it cannot be ended."""
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILLED_SECONDS)):
        tell(state, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not state.alive:
                return
            time.sleep(0.01)
    raise LabError(f"process {state.pid} does not end")


def tell(state: State, number: signal.Signals) -> None:
    """Send a signal to a supervisor. Raises LabError if it is another user's."""
    try:
        descriptor = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return
    try:
        if state.alive:  # the descriptor pins the process: the number cannot be used again meanwhile
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise LabError(f"process {state.pid} belongs to another user") from None
    finally:
        os.close(descriptor)
