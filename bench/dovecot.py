"""A service of ours or of Dovecot's with one configuration and one file of users, while a measurement lasts."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS, THEIRS = "hardmail", "dovecot"
START_SECONDS = 30.0
COMMON = (
    "base_dir = {directory}/run\nstate_dir = {directory}/state\nlog_path = {directory}/log\n"
    "passdb {{\n  driver = passwd-file\n  args = {directory}/users\n}}\n"
)
ANVIL_OFF = "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"


def listening(protocol: str, port: int) -> str:
    """The service block of ``imap`` or ``pop3`` on a port of the loopback, and on no other."""
    return (
        f"service {protocol}-login {{\n"
        f"  inet_listener {protocol} {{\n    address = 127.0.0.1\n    port = {port}\n  }}\n"
        f"  inet_listener {protocol}s {{\n    port = 0\n  }}\n}}\n"
    )


@contextlib.contextmanager
def running(
    kind: str,
    settings: str,
    users: str,
    connect: Callable[[Path], None],
    files: Mapping[str, str] | None = None,
) -> Iterator[Path]:
    """Start it in the foreground; yields its directory once ``connect`` has raised no OSError. ``settings`` are added
    to COMMON, ``users`` are the lines of a passwd-file, ``files`` more files by name; in their
    text ``{directory}`` stands for it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "users").write_text(users)
        (directory / "users").chmod(0o644)
        (directory / "dovecot.conf").write_text(COMMON.format(directory=name) + settings)
        for file, text in (files or {}).items():
            (directory / file).write_text(text.replace("{directory}", name))
        if kind == OURS:
            command = [sys.executable, "-m", "lab", "run", "-c", name]
        else:
            program = shutil.which("dovecot") or "/usr/sbin/dovecot"
            command = [program, "-F", "-c", f"{name}/dovecot.conf"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until_started(process, lambda: connect(directory))
            yield directory
        finally:
            process.terminate()
            process.wait(20)


def until_started(process: subprocess.Popen[bytes], connect: Callable[[], None]) -> None:
    """Wait until ``connect`` raises no OSError."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            return connect()
        time.sleep(0.05)
    raise SystemExit("the service does not start")
