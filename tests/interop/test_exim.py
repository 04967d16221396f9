"""Real Exim asks our authentication service, by its dovecot authenticator."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.behaviours.processes import HARDMAIL
from tests import peers
from tests.servers import free_port

pytestmark = [pytest.mark.interop, pytest.mark.needs_root]

EXIM = "/opt/exim/usr/sbin"
"""Where .ci/peers unpacks it: as a package it would replace Postfix."""

START_SECONDS = 15.0
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")


@contextmanager
def exim(directory: Path, port: int, auth: Path) -> Iterator[None]:
    """Exim on loopback with an authenticator for each mechanism."""
    program = peers.find("exim4", "exim4-daemon-heavy", EXIM)  # before its user, who comes with it
    directory = directory / "exim"
    directory.mkdir(0o755)
    shutil.chown(directory, "Debian-exim", "Debian-exim")
    authenticators = "".join(
        f"by_{name.lower().replace('-', '_')}:\n  driver = dovecot\n  public_name = {name}\n"
        f"  server_socket = {auth}\n  server_set_id = $auth1\n"
        for name in MECHANISMS
    )
    configuration = directory / "exim.conf"
    configuration.write_text(
        "primary_hostname = mx.example.com\nlocal_interfaces = 127.0.0.1\n"
        f"spool_directory = {directory}/spool\nlog_file_path = {directory}/%slog\npid_file_path = {directory}/pid\n"
        "auth_advertise_hosts = *\nacl_smtp_rcpt = rcpt\nhost_lookup =\ntls_advertise_hosts =\nrfc1413_query_timeout = 0s\nkeep_environment =\n"
        "begin acl\nrcpt:\n  accept authenticated = *\n  deny message = relay not permitted\n"
        f"begin authenticators\n{authenticators}"
    )
    command = [program, "-C", str(configuration), "-bdf", "-oX", str(port)]
    with started(command, directory / "exim.err", lambda: _listens(port)):
        yield


@contextmanager
def started(command: list[str], log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """A daemon in the foreground, ended by SIGTERM."""
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            assert daemon.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{command[0]} does not start"
            time.sleep(0.05)
        yield
    finally:
        daemon.terminate()
        daemon.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def login(port: int, mechanism: str, password: str) -> int:
    """The reply code of AUTH; who is let in may relay."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        smtp.ehlo()
        assert set(smtp.esmtp_features["auth"].split()) == set(MECHANISMS)
        smtp.user, smtp.password = "alice", password
        method = getattr(smtp, f"auth_{mechanism.lower().replace('-', '_')}")
        try:
            code, _ = smtp.auth(mechanism, method, initial_response_ok=mechanism != "CRAM-MD5")
        except smtplib.SMTPAuthenticationError as error:
            code = error.smtp_code
        smtp.mail("alice@example.com")
        assert smtp.rcpt("friend@example.org")[0] == (250 if code == 235 else 550)
    return code


async def test_exim_logs_users_in_through_our_socket(place: Path, service: Path) -> None:
    port = free_port()
    with exim(place, port, service):
        for mechanism in MECHANISMS:
            assert await asyncio.to_thread(login, port, mechanism, "secret") == 235
            assert await asyncio.to_thread(login, port, mechanism, "wrong") == 535


@pytest.fixture
def service(place: Path) -> Iterator[Path]:
    """Our authentication service alone; its client socket."""
    (place / "users").write_text("alice:{PLAIN}secret\n")
    (place / "users").chmod(0o644)
    (place / "dovecot.conf").write_text(
        f"protocols = none\nbase_dir = {place}/run\nstate_dir = {place}/state\nlog_path = {place}/auth.log\n"
        "auth_mechanisms = plain login cram-md5\nauth_failure_delay = 0\n"
        f"passdb {{\n  driver = passwd-file\n  args = {place}/users\n}}\n"
        "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
        "service auth {\n  unix_listener auth-client {\n    mode = 0666\n  }\n}\n"
    )
    path = place / "run" / "auth-client"
    with started([*HARDMAIL, "run", "-c", str(place)], place / "stderr", path.exists):
        yield path
