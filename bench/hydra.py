#!/usr/bin/env python3
"""Lets hydra guess passwords by IMAP, POP3 and SMTP, without and with penalties; a user elsewhere logs in meanwhile.

    python -m bench.hydra [--seconds 20]    # needs root and Debian's hydra

hydra has 16 connections from 127.0.0.1 and guesses at alice's password, who meanwhile logs in from 127.0.0.2. Guesses
are counted in the log of the auth service. Exit status 1 if a log-in of hers has taken 100 ms.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from bench.auth import PASSWORD, stored
from bench.dovecot import ANVIL_OFF, OURS, listening, running
from bench.servers import free_port

USER, ELSEWHERE = "alice", "127.0.0.2"
BAR_SECONDS = 0.1
PLAIN = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
LOGINS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "imap": (("", "* OK"), (f"a LOGIN {USER} {PASSWORD}", "a OK")),
    "pop3": (("", "+OK"), (f"USER {USER}", "+OK"), (f"PASS {PASSWORD}", "+OK")),
    "smtp": (("", "220 "), ("EHLO client.example", "250 "), (f"AUTH PLAIN {PLAIN}", "235 ")),
}
"""By service: what the client says, and how the last line of the answer begins."""
PROTECTIONS = {
    "no delay, no penalty": "auth_failure_delay = 0\n" + ANVIL_OFF,
    "delay of 2 s, penalty": "auth_failure_delay = 2 secs\n",
}
CONFIGURATION = """\
protocols = imap pop3
first_valid_uid = 1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_verbose = yes
mail_location = maildir:%h/Maildir
userdb {{
  driver = static
  args = uid=8 gid=8 home={home}
}}
service auth {{
  unix_listener auth-smtp {{
    mode = 0666
  }}
}}
"""
MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
myhostname = mx.example.test
mydestination =
inet_interfaces = 127.0.0.1
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {directory}/run/auth-smtp
smtpd_client_connection_rate_limit = 0
"""


@contextlib.contextmanager
def server(protection: str) -> Iterator[tuple[Path, Mapping[str, int]]]:
    """A server of ours; yields its directory and its ports."""
    ports = {name: free_port() for name in LOGINS}
    more = {"main.cf": MAIN_CF, "master.cf": f"127.0.0.1:{ports['smtp']} inet n - n - - smtpd\n"}

    def connect(directory: Path) -> None:
        for service, port in ports.items():
            log_in(service, port)

    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 8, 8)  # Debian's user "mail"
        settings = CONFIGURATION.format(home=home) + PROTECTIONS[protection]
        settings += listening("imap", ports["imap"]) + listening("pop3", ports["pop3"])
        with running(OURS, settings, stored("SHA512-CRYPT"), connect, more) as directory:
            yield directory, ports


def log_in(service: str, port: int) -> float:
    """Log in from elsewhere, the connection included; the seconds it has taken. Raises OSError."""
    start = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", port), 30, (ELSEWHERE, 0)) as client,
        client.makefile("r", encoding="utf-8", newline="\n") as answers,
    ):
        for said, wanted in LOGINS[service]:
            if said:
                client.sendall(f"{said}\r\n".encode())
            line = answers.readline()
            while line.startswith((f"{wanted[:3]}-", "* CAP")):
                line = answers.readline()
            if not line.startswith(wanted):
                raise ConnectionError(f"{service}: {said.split(' ')[0]} was answered {line!r}")
    return time.monotonic() - start


def guesses(directory: Path) -> int:
    """Passwords that the auth service has found wrong so far."""
    return (directory / "log").read_text().count("Password mismatch")


def log_ins(service: str, port: int, seconds: float) -> list[float]:
    """How long log-ins from elsewhere take, five a second."""
    taken, end = list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        taken.append(log_in(service, port))
        time.sleep(0.2)
    return taken


def attack(service: str, directory: Path, port: int, seconds: float) -> tuple[int, list[float]]:
    """Guesses in the time, and how long the log-ins from elsewhere took."""
    words = directory / "words"
    words.write_text("".join(f"guess-{number}\n" for number in range(200_000)))
    option = ":PLAIN" if service == "smtp" else ""
    command = [
        "hydra",
        "-I",
        "-l",
        USER,
        "-P",
        str(words),
        "-t",
        "16",
        "-s",
        str(port),
        f"{service}://127.0.0.1/{option}",
    ]
    before = guesses(directory)
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=directory, stdout=null, stderr=null, start_new_session=True)
    try:
        taken = log_ins(service, port, seconds)
        if process.poll() is not None:
            raise SystemExit(f"hydra has given up on {service}: {process.returncode}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its tasks are processes
        process.wait()
    return guesses(directory) - before, taken


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each attack")
    arguments = parser.parse_args()
    good = True
    for protection in PROTECTIONS:
        for service in LOGINS:
            with server(protection) as (directory, ports):
                rest = log_ins(service, ports[service], 4)
                count, taken = attack(service, directory, ports[service], arguments.seconds)
            good = good and max(taken) < BAR_SECONDS
            print(
                f"{service} {protection:24} {count / arguments.seconds * 60:8.0f} guesses/min; "
                f"elsewhere median {median(taken) * 1000:.0f}, at most {max(taken) * 1000:.0f} ms; "
                f"at rest {median(rest) * 1000:.0f}, at most {max(rest) * 1000:.0f} ms",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
