"""Fixtures: supervisors over small services, started as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SECONDS = 20.0


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `condition`; fails after SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        time.sleep(0.01)
    return value


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Client:
    """One line-based connection."""

    def __init__(self, where: int | Path) -> None:
        self.sock = socket.socket(socket.AF_INET if isinstance(where, int) else socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(("127.0.0.1", where) if isinstance(where, int) else str(where))
        self.file = self.sock.makefile("rb")
        self.greeting, pid = self.line().split()
        self.pid = int(pid)

    def line(self) -> str:
        """The next line, without its end; empty at the end of the stream."""
        return self.file.readline().decode().rstrip("\n")

    def ask(self, text: str) -> str:
        """Send a line, return the answer."""
        self.sock.sendall(text.encode() + b"\n")
        return self.line()

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.sock.close()


class Stand:
    """A supervisor process over tests/lab/stand.py."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runtime = directory / "runtime"
        self.process: subprocess.Popen[str] | None = None
        self.clients: list[Client] = []
        self.stderr = directory / "stderr"

    def plan(self, *services: dict[str, Any], errors: tuple[str, ...] = ()) -> None:
        """Write the plan that the supervisor reads at its start and on SIGHUP."""
        (self.directory / "plan.json").write_text(json.dumps({"services": services, "errors": errors}))

    def start(self, *arguments: str, wait: bool = True, **options: Any) -> subprocess.Popen[str]:
        """Start the supervisor; `wait` for its ready line."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        environment.update(options.pop("environment", {}))
        with self.stderr.open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "stand.py"), str(self.directory), *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=environment,
                **options,
            )
        if wait:
            assert self.process.stdout
            line = self.process.stdout.readline()
            assert "ready" in line, self.stderr.read_text()
        return self.process

    def finish(self) -> int:
        """Wait for the end; the exit status."""
        assert self.process
        status = self.process.wait(SECONDS)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    def client(self, where: int | Path) -> Client:
        """A connection that is closed with the test."""
        client = Client(where)
        self.clients.append(client)
        return client

    def children(self) -> list[int]:
        """The process ids of the services."""
        assert self.process
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def log(self) -> str:
        """Everything on standard error so far."""
        return self.stderr.read_text()

    def state(self) -> dict[str, Any]:
        """The state file of the running supervisor."""
        assert self.process
        [path] = (self.runtime / "hardmail").glob(f"*-{self.process.pid}.json")
        return dict(json.loads(path.read_text()))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        assert self.process
        self.process.send_signal(number)

    def close(self) -> None:
        """End whatever still runs."""
        for client in self.clients:
            client.close()
        if self.process:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(SECONDS)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            with contextlib.suppress(OSError, AttributeError):
                self.process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A supervisor that is not started yet."""
    made = Stand(tmp_path)
    yield made
    made.close()


class Helpers:
    """The functions above, for test modules."""

    wait_for = staticmethod(wait_for)
    free_port = staticmethod(free_port)
    alive = staticmethod(alive)


@pytest.fixture
def helpers() -> type[Helpers]:
    """The functions above, for test modules."""
    return Helpers
