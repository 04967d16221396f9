#!/usr/bin/env python3
"""Measures IMAP beside Dovecot over one and the same Maildir: NOOP, FETCH of flags, envelopes and bodies, log-ins.

    python -m bench.imap                     # 10,000 mails of 2 KB, medians of 5; needs root and dovecot-imapd
    python -m bench.imap --only flags,noop   # some of them
    python -m bench.imap --pymap /opt/pymap  # FETCH beside pymap, which is installed in that virtual environment

Each measurement is made with both servers in turn, so that both meet the machine in the same state. What was read once
is in their indexes and caches: the figures are those of a mail program that comes back.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.dovecot import ANVIL_OFF, OURS, THEIRS, listening, running, until_started

USER, PASSWORD = "alice", "correct-Horse-7"
MAIL_UID = 8  # Debian's user "mail"
NOOPS, LOGINS = 3000, 100

BARS = {"noop": 0.8, "flags": 0.5, "envelope": 1.0, "body": 1.0, "login": 1.0}
PYMAP_BARS = {"flags": 10.0, "envelope": 10.0, "body": 10.0}
FETCHES = {"flags": b"FLAGS", "envelope": b"ENVELOPE", "body": b"BODY.PEEK[]"}

CONFIGURATION = """\
protocols = imap
first_valid_uid = 1
default_login_user = dovenull
default_internal_user = dovecot
ssl = no
disable_plaintext_auth = no
mail_location = maildir:%h/Maildir
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={mail}/%u
}}
"""


class Client:
    """A plain IMAP client that reads as fast as it can."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._until(b"\r\n")

    def command(self, text: bytes) -> int:
        """Send it, read to its tagged answer; the octets that came."""
        self._socket.sendall(b"a " + text + b"\r\n")
        return self._until_tagged()

    def _until(self, end: bytes) -> None:
        data = self._rest
        while end not in data:
            data += self._socket.recv(1 << 16)
        self._rest = b""

    def _until_tagged(self) -> int:
        total, tail = 0, b"\r\n"
        while True:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the server closed the connection")
            total += len(data)
            tail = (tail + data)[-4096:]
            found = re.search(rb"\r\na (OK|NO|BAD) [^\r\n]*\r\n\Z", tail)
            if found is not None:
                if found[1] != b"OK":
                    raise SystemExit(f"refused: {found[0]!r}")
                return total

    def login(self) -> None:
        self.command(f"LOGIN {USER} {PASSWORD}".encode())

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def server(kind: str, mail: Path, settings: str = "", users: Sequence[str] = (USER,)) -> Iterator[int]:
    """A server of ours or Dovecot over ``mail``, with more settings behind the usual ones; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = ANVIL_OFF + CONFIGURATION.format(mail=mail, uid=MAIL_UID) + listening("imap", port) + settings
    passwords = "".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in users)
    with running(kind, settings, passwords, lambda _: Client(port).close()):
        yield port


@contextlib.contextmanager
def pymap(environment: Path, mail: Path) -> Iterator[int]:
    """pymap with its Maildir backend over ``mail``; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hasher = f"from pysasl.hashing import BuiltinHash; print(BuiltinHash().hash({PASSWORD!r}))"
    made = subprocess.run([environment / "bin/python", "-c", hasher], capture_output=True, text=True, check=True)
    (mail / "pymap-etc-passwd").write_text(f"{USER}:x::::{USER}/Maildir:\n")
    (mail / "pymap-etc-shadow").write_text(f"{USER}:{made.stdout.strip()}:::::::\n")
    program = str(environment / "bin/pymap")
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--no-tls", "maildir", str(mail)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_started(process, lambda: Client(port).close())
        yield port
    finally:
        process.kill()  # it may be busy for minutes
        process.wait()


def fill(mail: Path, count: int, size: int) -> None:
    """A Maildir of ``count`` mails of about ``size`` octets."""
    maildir = mail / USER / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    body = "The quick brown fox jumps over the lazy dog, over and over again, all day.\n"
    for number in range(count):
        text = (
            f"Return-Path: <sender{number % 97}@a.test>\nDelivered-To: alice@b.test\n"
            f"Received: from a.test by b.test with ESMTP id {number:08x}; Mon, 6 Nov 2023 10:11:12 +0100\n"
            f"Date: Mon, 6 Nov 2023 10:{number // 60 % 60:02}:{number % 60:02} +0100\n"
            f"From: Sender {number % 97} <sender{number % 97}@a.test>\nTo: Alice <alice@b.test>, bob@b.test\n"
            f"Subject: Message number {number}\nMessage-ID: <{number}.{number * 7919}@a.test>\nMIME-Version: 1.0\n"
            "Content-Type: text/plain; charset=utf-8\n\n"
        )
        text += body * ((size - len(text)) // len(body) + 1)
        flags = ("", "S", "RS", "FS")[number % 4]
        path = maildir / "cur" / f"{1_700_000_000 + number}.M{number}P1.bench,S={len(text)}:2,{flags}"
        path.write_text(text)
    for path in (mail, *mail.rglob("*")):
        os.chown(path, MAIL_UID, MAIL_UID)


def measure(what: str, port: int, count: int) -> float:
    """One measurement: operations, mails or log-ins a second."""
    if what == "login":
        start = time.perf_counter()
        for _ in range(LOGINS):
            client = Client(port)
            client.login()
            client.close()
        return LOGINS / (time.perf_counter() - start)
    client = Client(port)
    with contextlib.closing(client):
        client.login()
        client.command(b"SELECT INBOX")
        start = time.perf_counter()
        if what == "noop":
            for _ in range(NOOPS):
                client.command(b"NOOP")
            return NOOPS / (time.perf_counter() - start)
        client.command(b"FETCH 1:* " + FETCHES[what])
        return count / (time.perf_counter() - start)


def main() -> None:
    """Measure and print; exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mails", type=int, help="in the folder (10,000; beside pymap 1,000)")
    parser.add_argument("--size", type=int, default=2000, help="octets of a mail")
    parser.add_argument("--only", help="which, separated by commas")
    parser.add_argument("--pymap", type=Path, metavar="VENV", help="measure FETCH beside pymap")
    arguments = parser.parse_args()
    count = arguments.mails or (1000 if arguments.pymap else 10_000)
    bars = PYMAP_BARS if arguments.pymap else BARS
    missed = False
    with contextlib.ExitStack() as stack:
        mails = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-mail-"))) for _ in range(2)]
        fill(mails[0], count, arguments.size)
        if arguments.pymap:
            fill(mails[1], count, arguments.size)  # it writes a uidlist of its own
            name, theirs = "pymap", stack.enter_context(pymap(arguments.pymap, mails[1]))
        else:
            name, theirs = THEIRS, stack.enter_context(server(THEIRS, mails[0]))
        ours = stack.enter_context(server(OURS, mails[0]))
        for what in arguments.only.split(",") if arguments.only else bars:
            measure(what, ours, count), measure(what, theirs, count)  # the first look fills the indexes
            pairs = [(measure(what, ours, count), measure(what, theirs, count)) for _ in range(arguments.rounds)]
            mine, yours = median(a for a, _ in pairs), median(b for _, b in pairs)
            ratio = mine / yours
            missed |= ratio < bars[what]
            mark = "" if ratio >= bars[what] else "  MISSED"
            print(f"{what:9} {OURS} {mine:10.0f}/s  {name} {yours:10.0f}/s  {ratio:5.2f} x (bar {bars[what]}){mark}")
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
