"""A private instance of real Dovecot on unix sockets: its own directories, ended by its own pid."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 15.0
POLL_SECONDS = 0.05


@contextmanager
def running(dovecot: str, directory: Path, configuration: str, wait_for: list[Path]) -> Iterator[None]:
    """Start Dovecot with this configuration and wait until these sockets are there."""
    file = directory / "dovecot.conf"
    file.write_text(
        f"base_dir = {directory}/run\nstate_dir = {directory}/state\nlog_path = {directory}/dovecot.log\nssl = no\n"
        "default_internal_user = dovecot\ndefault_login_user = dovenull\nfirst_valid_uid = 1\n" + configuration
    )
    daemon = subprocess.Popen([dovecot, "-F", "-c", str(file)])
    try:
        deadline = time.monotonic() + START_SECONDS
        while not all(path.exists() for path in wait_for):
            assert daemon.poll() is None, (directory / "dovecot.log").read_text()
            assert time.monotonic() < deadline, "Dovecot has not made its sockets"
            time.sleep(POLL_SECONDS)
        yield
    finally:
        daemon.terminate()
        daemon.wait(10)
