#!/usr/bin/env python3
"""Measures IMAP beside Dovecot over one and the same Maildir: NOOP, FETCH of flags, envelopes and bodies, log-ins.

    python -m bench.imap                     # 10,000 mails of 2 KB, medians of 5; needs root and dovecot-imapd
    python -m bench.imap --only flags,noop   # some of them

Each measurement is made with both servers in turn, so that both meet the machine in the same state. What was read once
is in their indexes and caches: the figures are those of a mail program that comes back.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from bench.dovecot import ANVIL_OFF, OURS, THEIRS, running

USER, PASSWORD = "alice", "correct-Horse-7"
MAIL_UID = 8  # Debian's user "mail"
NOOPS, LOGINS = 3000, 100

BARS = {"noop": 0.8, "flags": 0.5, "envelope": 1.0, "body": 1.0, "login": 1.0}
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
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
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
    settings = ANVIL_OFF + CONFIGURATION.format(mail=mail, port=port, uid=MAIL_UID) + settings
    passwords = "".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in users)
    with running(kind, settings, passwords, lambda _: Client(port).close()):
        yield port


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


def measure(what: str, port: int) -> float:
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
        return COUNT / (time.perf_counter() - start)


COUNT = 10_000


def main() -> None:
    """Measure and print; exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=2000, help="octets of a mail")
    parser.add_argument("--only", default=",".join(BARS), help="which, separated by commas")
    arguments = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory(prefix="bench-mail-") as name:
        mail = Path(name)
        fill(mail, COUNT, arguments.size)
        with server(THEIRS, mail) as theirs, server(OURS, mail) as ours:
            measures: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
                (what, lambda what=what: measure(what, ours), lambda what=what: measure(what, theirs))  # type: ignore[misc]
                for what in arguments.only.split(",")
            ]
            for what, one, other in measures:
                one(), other()  # the first look fills the indexes
                pairs = [(one(), other()) for _ in range(arguments.rounds)]
                mine, yours = median(a for a, _ in pairs), median(b for _, b in pairs)
                ratio = mine / yours
                missed |= ratio < BARS[what]
                mark = "" if ratio >= BARS[what] else "  MISSED"
                print(
                    f"{what:9} {OURS} {mine:10.0f}/s  {THEIRS} {yours:10.0f}/s  {ratio:5.2f} x (bar {BARS[what]}){mark}"
                )
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
