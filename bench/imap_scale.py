#!/usr/bin/env python3
"""Measures IMAP at scale: a folder of a million mails, and thousands of idle connections over TLS.

    python -m bench.imap_scale million           # SELECT of 1,000,000 mails, ours and Dovecot's; memory of a session
    python -m bench.imap_scale idle              # 5,000 connections: before log-in, logged in, in IDLE; KiB for each

Needs root. The million mails are hard links, and are removed afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.dovecot import OURS, THEIRS
from bench.imap import MAIL_UID, PASSWORD, USER, Client, fill, server
from bench.servers import descendants
from tls.authority import Authority

LINKS = 50_000  # of one mail: ext4 takes 65,000
KIB = 1024
DESCRIPTORS = 10  # of a session that has a mailbox open; there must be so many to measure it
USERS = 100  # that the idle connections log in as
MANY = """\
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
mail_max_userip_connections = 0
service imap-login {{
  service_count = 0
  client_limit = {limit}
  process_limit = 1
  inet_listener imaps {{
    address = 127.0.0.1
    port = {tls_port}
    ssl = yes
  }}
}}
service imap {{
  process_limit = {limit}
}}
"""


def million(count: int) -> None:
    """A folder of so many mails."""
    with tempfile.TemporaryDirectory(prefix="bench-mail-") as name:
        mail = Path(name)
        fill(mail, max(1, count // LINKS), 2000)
        cur = mail / USER / "Maildir" / "cur"
        for source in list(cur.iterdir()):
            stem = source.name.partition(",")[0]
            for number in range(1, min(count, LINKS)):
                (cur / f"{stem}x{number},S=2000:2,{'S' if number % 10 else ''}").hardlink_to(source)
        print(f"{sum(1 for _ in cur.iterdir()):,} mails")
        for kind in (OURS, THEIRS):
            with server(kind, mail, "default_vsz_limit = 2G\n") as port:  # Dovecot's default is too little
                first, warm = _select(port), median(_select(port) for _ in range(5))
                print(f"{kind:9} SELECT {first:8.3f} s the first time, {warm:.3f} s when warm")
                if kind == OURS:
                    print(f"{kind:9} {_session_kib(port):,.0f} KiB for a session")


def _select(port: int) -> float:
    with contextlib.closing(Client(port)) as client:
        client.login()
        start = time.perf_counter()
        client.command(b"SELECT INBOX")
        return time.perf_counter() - start


def _session_kib(port: int, sessions: int = 10) -> float:
    """What a session costs that has selected the folder and looked at some of it."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(Client(port))) for _ in range(sessions)]
        for client in clients:
            client.login()
        before = pss_kib()
        for client in clients:
            client.command(b"SELECT INBOX")
            client.command(b"FETCH 1:100 (FLAGS UID)")
        return (pss_kib() - before) / sessions


def idle(count: int) -> None:
    """So many connections over TLS, in each state."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * count), hard))
    with tempfile.TemporaryDirectory(prefix="bench-mail-") as name, _tls_server(Path(name), count) as port:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_3
        with ThreadPoolExecutor(16) as pool, contextlib.ExitStack() as stack:
            _say(_connect(context, port), b"LOGOUT")  # what the first connection costs once
            base = pss_kib()
            start = time.perf_counter()
            clients = list(pool.map(lambda _: _connect(context, port), range(count)))
            for client in clients:
                stack.callback(client.close)
            seconds = time.perf_counter() - start
            _tell("before log-in", base, count)
            print(f"{count / seconds:,.0f} TLS handshakes a second")
            list(pool.map(lambda n: _say(clients[n], f"LOGIN u{n % USERS} {PASSWORD}".encode()), range(count)))
            _tell("logged in", base, count)
            before, few = pss_kib(), min(count, hard // DESCRIPTORS)
            list(pool.map(_idle, clients[:few]))
            _tell("in IDLE on INBOX", base + (before - base) * (count - few) / count, few)


def _idle(client: ssl.SSLSocket) -> None:
    _say(client, b"SELECT INBOX")
    _say(client, b"IDLE", b"+ ")


@contextlib.contextmanager
def _tls_server(mail: Path, count: int) -> Iterator[int]:
    authority = Authority.create(mail / "ca")
    issued = authority.issue_server(["localhost", "127.0.0.1"])
    for number in range(USERS):
        (mail / f"u{number}").mkdir()
        os.chown(mail / f"u{number}", MAIL_UID, MAIL_UID)
    with socket.create_server(("127.0.0.1", 0)) as free:
        tls_port = free.getsockname()[1]
    settings = MANY.format(certificate=issued.certificate_file, key=issued.key_file, tls_port=tls_port, limit=2 * count)
    os.chown(mail, MAIL_UID, MAIL_UID)
    users = [USER, *(f"u{number}" for number in range(USERS))]
    with server(OURS, mail, settings, users):
        yield tls_port


def _connect(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    client = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=120))
    _until(client, b"\r\n")
    return client


def _say(client: ssl.SSLSocket, command: bytes, end: bytes = b"a ") -> None:
    client.sendall(b"a " + command + b"\r\n")
    _until(client, end)


def _until(client: ssl.SSLSocket, end: bytes) -> None:
    """Read to the line that begins with `end` (or ends with it)."""
    data = b""
    while not data.endswith(b"\r\n") or not (end == b"\r\n" or (b"\r\n" + data).rpartition(b"\r\n" + end)[1]):
        received = client.recv(1 << 16)
        if not received:
            raise SystemExit(f"the server closed the connection behind {data!r}")
        data += received
    if b"\r\na NO" in b"\r\n" + data or b"\r\na BAD" in b"\r\n" + data:
        raise SystemExit(f"refused: {data!r}")


def _tell(what: str, base: float, count: int) -> None:
    print(f"{count:,} connections {what:16} {(pss_kib() - base) / count:6.1f} KiB each")


def pss_kib() -> float:
    """Memory of our imap processes, in KiB (proportional set size)."""
    total = 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "imap":
                found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
                total += int(found[1]) if found else 0
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("million", "idle"))
    parser.add_argument("--count", type=int, help="mails (1,000,000) or connections (5,000)")
    arguments = parser.parse_args()
    if arguments.what == "million":
        million(arguments.count or 1_000_000)
    else:
        idle(arguments.count or 5000)


if __name__ == "__main__":
    main()
