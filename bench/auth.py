#!/usr/bin/env python3
"""Measures the auth service: log-ins per second beside Dovecot, guessing slowed down, and what answer times tell.

    python -m bench.auth speed       # PLAIN over one socket, cached and cold, ours and Dovecot's in turn
    python -m bench.auth guessing    # guesses a minute from one address, without and with the penalty
    python -m bench.auth timing      # known against unknown users, Mann-Whitney

Run from the repository. Each command starts the services it needs on unix sockets in a directory of its own.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import pwd
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist, median

from bench.dovecot import ANVIL_OFF, OURS, ROOT, THEIRS, running

PATIENCE = 60
"""Seconds to wait for an answer."""
PASSWORD = "correct-Horse-7"  # noqa: S105 - of a service that lives for this measurement


@contextlib.contextmanager
def service(kind: str, settings: str, users: str) -> Iterator[Path]:
    """An auth service of ours or Dovecot's; yields the path of its client socket."""
    root = os.geteuid() == 0
    me = pwd.getpwuid(os.geteuid()).pw_name
    text = (
        f"protocols = none\ndefault_internal_user = {'dovecot' if root else me}\n"
        f"default_login_user = {'dovenull' if root else me}\n"
        "userdb {\n  driver = static\n  args = uid=8 gid=8 home=/nonexistent\n}\n"
        f"service auth {{\n  unix_listener auth-client {{\n    mode = 0600\n    user = {me}\n  }}\n}}\n" + settings
    )
    path = Path("run/auth-client")
    with running(kind, text, users, lambda directory: Client(directory / path).close()) as directory:
        yield directory / path


class Client:
    """One connection that keeps a number of requests under way."""

    _pids = iter(range(os.getpid() * 64 % 2**22 + 1, 2**31))

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE, 0))
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")
        while self._line() != b"DONE":
            pass
        self._socket.sendall(b"VERSION\t1\t2\nCPID\t%d\n" % next(self._pids))
        self._id = 0

    def _line(self) -> bytes:
        line = self._file.readline()
        if not line:
            raise ConnectionError("the auth service has closed the connection")
        return line.rstrip(b"\n")

    def send(self, user: str, password: str, parameters: str = "no-penalty") -> int:
        """Ask; the number of the request."""
        self._id += 1
        response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        words = ["AUTH", str(self._id), "PLAIN", "service=imap", *parameters.split(), f"resp={response}"]
        self._socket.sendall(("\t".join(words) + "\n").encode())
        return self._id

    def receive(self) -> tuple[int, bool]:
        """The number of the request that is answered next, and whether it has succeeded."""
        words = self._line().split(b"\t")
        return int(words[1]), words[0] == b"OK"

    def login(self, user: str, password: str, parameters: str = "no-penalty") -> tuple[bool, float]:
        """One log-in and its seconds."""
        start = time.monotonic()
        self.send(user, password, parameters)
        return self.receive()[1], time.monotonic() - start

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self._socket.close()


def rate(path: Path, seconds: float, window: int) -> float:
    """Log-ins per second with ``window`` of them under way."""
    client = Client(path)
    if not client.login("alice", PASSWORD)[0]:
        raise SystemExit("the right password is refused")
    for _ in range(window):
        client.send("alice", PASSWORD)
    done, start = 0, time.monotonic()
    while (spent := time.monotonic() - start) < seconds or done < 2 * window:
        if not client.receive()[1]:
            raise SystemExit("a log-in failed under load")
        done += 1
        client.send("alice", PASSWORD)
    client.close()
    return done / spent


def stored(scheme: str) -> str:
    """A passwd-file line for alice."""
    command = [sys.executable, "-m", "lab", "doveadm", "pw", "-s", scheme, "-p", PASSWORD]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    return f"alice:{text}\n"


def speed(arguments: argparse.Namespace) -> int:
    """Rounds of ours and Dovecot's in turn, so that both see the same machine; the medians count."""
    cases = [
        # Dovecot's cache keeps the hash and checks it anew each time, ours the fact that the check has succeeded. What
        # the protocol itself costs shows where the check costs nothing.
        ("clear text, cache on, one at a time", "PLAIN", "auth_cache_size = 10M\n", 1, 0.5),
        ("clear text, cache on, 32 under way", "PLAIN", "auth_cache_size = 10M\n", 32, 0.5),
        ("SHA512-CRYPT, cache on, 32 under way", "SHA512-CRYPT", "auth_cache_size = 10M\n", 32, 0.5),
        ("SHA512-CRYPT cold, 8 under way", "SHA512-CRYPT", "", 8, 0.8),
        ("ARGON2ID cold, 8 under way", "ARGON2ID", "", 8, 0.8),
    ]
    kinds = [OURS, THEIRS] if shutil.which("dovecot") or Path("/usr/sbin/dovecot").exists() else [OURS]
    good = True
    for title, scheme, settings, window, bar in [case for case in cases if arguments.only in case[0]]:
        users = stored(scheme)
        with contextlib.ExitStack() as stack:
            paths = {kind: stack.enter_context(service(kind, settings, users)) for kind in kinds}
            found: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(arguments.rounds):
                for kind in kinds:
                    found[kind].append(rate(paths[kind], arguments.seconds, window))
        values = {kind: median(rates) for kind, rates in found.items()}
        text = ", ".join(f"{kind} {value:.0f}/s" for kind, value in values.items())
        if THEIRS in values:
            ratio = values[OURS] / values[THEIRS]
            good = good and ratio >= bar
            text += f": {ratio:.2f} (bar {bar})"
        print(f"{title:37} {text}", flush=True)
    return 0 if good else 1


def guessing(arguments: argparse.Namespace) -> int:
    """Guesses a minute of one address on eight connections; a user elsewhere logs in meanwhile."""
    users = stored("SHA512-CRYPT")
    good = True
    for title, settings in (
        ("no delay, no penalty", "auth_failure_delay = 0\n" + ANVIL_OFF),
        ("auth_failure_delay = 2 secs, penalty", "auth_failure_delay = 2 secs\n"),
    ):
        with service(OURS, settings, users) as path:
            guesses, slowest = _guess(path, arguments.seconds)
        good = good and slowest < 0.1
        minute = guesses / arguments.seconds * 60
        print(f"{title:38} {minute:8.0f} guesses/min; elsewhere at most {slowest * 1000:.0f} ms", flush=True)
    return 0 if good else 1


def _guess(path: Path, seconds: float) -> tuple[int, float]:
    end = time.monotonic() + seconds
    guesses = 0
    lock = threading.Lock()

    def guesser(number: int) -> None:
        nonlocal guesses
        client = Client(path)
        attempt = 0
        with contextlib.suppress(ConnectionError, OSError):
            while time.monotonic() < end:
                attempt += 1
                client.login("alice", f"guess-{number}-{attempt}", "rip=192.0.2.66")
                with lock:
                    guesses += time.monotonic() < end
        client.close()

    threads = [threading.Thread(target=guesser, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    client = Client(path)
    slowest = 0.0
    while time.monotonic() < end:
        worked, took = client.login("alice", PASSWORD, "rip=198.51.100.7")
        if not worked:
            raise SystemExit("the user elsewhere is refused")
        slowest = max(slowest, took)
        time.sleep(0.2)
    client.close()
    return guesses, slowest


def timing(arguments: argparse.Namespace) -> int:
    """Wrong passwords of a known and an unknown user, in random order; p > 0.05 means that the times tell nothing."""
    settings = {
        "hardened (auth_failure_delay = 2 secs)": ("auth_failure_delay = 2 secs\n", 100),
        "without a delay": ("auth_failure_delay = 0\n", 1),
    }
    good = True
    for title, (text, window) in settings.items():
        with service(OURS, text, stored(arguments.scheme)) as path:
            known, unknown = _times(path, arguments.count, window)
        p = mann_whitney(known, unknown)
        good = good and p > 0.05
        print(
            f"{title:40} {arguments.scheme}, {len(known)} + {len(unknown)}: medians {median(known) * 1000:.3f} and "
            f"{median(unknown) * 1000:.3f} ms, p = {p:.3f}",
            flush=True,
        )
    return 0 if good else 1


def _times(path: Path, count: int, window: int) -> tuple[list[float], list[float]]:
    names = ["alice", "nobody"] * count
    random.shuffle(names)
    client = Client(path)
    times: dict[str, list[float]] = {"alice": [], "nobody": []}
    under_way: dict[int, tuple[str, float]] = {}
    while names or under_way:
        while names and len(under_way) < window:
            name = names.pop()
            started = time.monotonic()
            under_way[client.send(name, "wrong")] = (name, started)
        name, started = under_way.pop(client.receive()[0])
        times[name].append(time.monotonic() - started)
    client.close()
    return times["alice"], times["nobody"]


def mann_whitney(one: list[float], other: list[float]) -> float:
    """The two-sided p of the Mann-Whitney U test (normal approximation, corrected for ties)."""
    values = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks, ties, index = 0.0, 0, 0
    while index < len(values):
        end = index
        while end < len(values) and values[end][0] == values[index][0]:
            end += 1
        size = end - index
        ranks += (index + 1 + end) / 2 * sum(1 for value in values[index:end] if value[1] == 0)
        ties += size**3 - size
        index = end
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    sigma = (n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)))) ** 0.5
    return 2 * NormalDist().cdf(-abs((u - n * m / 2) / sigma)) if sigma else 1.0


def main() -> int:
    """Run one of the measurements; 0 when its bars are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (speed, guessing, timing):
        command = commands.add_parser(run.__name__, help=(run.__doc__ or "").splitlines()[0])
        command.set_defaults(run=run)
        command.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
        command.add_argument("--rounds", type=int, default=5, help="speed: measurements of each, in turn")
        command.add_argument("--only", default="", help="speed: what the case's name holds, such as ARGON2ID")
        command.add_argument("--count", type=int, default=500, help="timing: log-ins of each user")
        command.add_argument("--scheme", default="SHA512-CRYPT", help="timing: of the stored password")
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
