"""A private instance of real Dovecot on unix sockets: its own directories, ended by its own pid."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import peers

START_SECONDS = 15.0
POLL_SECONDS = 0.05
CHROOTED = ("anvil", "stats", "imap-login", "pop3-login")
"""Services that Dovecot jails by default."""


@contextmanager
def running(dovecot: str, directory: Path, configuration: str, wait_for: list[Path]) -> Iterator[None]:
    """Start Dovecot with this configuration and wait until these sockets are listened on."""
    internal, login, group = "dovecot", "dovenull", "dovecot"
    if os.geteuid() != 0:  # an ordinary user's Dovecot runs as that user alone
        internal = login = pwd.getpwuid(os.geteuid()).pw_name
        group = grp.getgrgid(os.getegid()).gr_name
        # chroot(2) is root's
        configuration = "".join(f"service {name} {{\n  chroot =\n}}\n" for name in CHROOTED) + configuration
    file = directory / "dovecot.conf"
    file.write_text(
        f"base_dir = {directory}/run\nstate_dir = {directory}/state\nlog_path = {directory}/dovecot.log\nssl = no\n"
        f"default_internal_user = {internal}\ndefault_login_user = {login}\ndefault_internal_group = {group}\n"
        "first_valid_uid = 1\n" + configuration
    )
    daemon = subprocess.Popen([dovecot, "-F", "-c", str(file)])
    try:
        deadline = time.monotonic() + START_SECONDS
        while not all(map(_listens, wait_for)):
            assert daemon.poll() is None, (directory / "dovecot.log").read_text()
            assert time.monotonic() < deadline, "Dovecot has not made its sockets"
            time.sleep(POLL_SECONDS)
        yield
    finally:
        daemon.terminate()
        daemon.wait(10)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@contextmanager
def authenticating(directory: Path, configuration: str) -> Iterator[Path]:
    """A Dovecot that only authenticates, and neither delays nor punishes; the directory with its sockets."""
    sockets = directory / "run"
    with running(
        peers.find("dovecot", "dovecot-core"),
        directory,
        "protocols = none\nauth_failure_delay = 0\n"
        "service anvil {\n unix_listener anvil-auth-penalty {\n  mode = 0\n }\n}\n" + configuration,
        [sockets / "auth-client", sockets / "auth-userdb"],
    ):
        yield sockets
