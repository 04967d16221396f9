"""A long queue, 100,000 deferred mails: start, `mailq`, rate of acceptance and memory with it, then the drain.

    python -m bench.backlog [--messages 100000]

One next hop per domain; the first domain has most of the mail. Needs smtp-source(1) of Postfix.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.fill import fill
from mta.queue import Queue

DOMAINS = 10
"""Next hops: d0 has all that the others have not."""
SMALL = 50
"""Messages for each of the others."""
RATE_MESSAGES, RATE_SESSIONS, RATE_TRIALS = 2000, 20, 7
LATER = 3600.0
"""Seconds until the deferred mail is due."""
START_PATIENCE = 60.0
PATIENCE = 900.0
"""Seconds that the drain may take."""
HARDMAIL = (sys.executable, "-m", "lab")

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
"""
MAIN = """\
compatibility_level = 3.6
hardmail_smtpd_processes = 1
myhostname = bench.example
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
transport_maps = inline:{{ {transports} }}
queue_directory = {place}/spool
data_directory = {place}/data
maillog_file = {place}/log
maillog_file_prefixes = {place}
hardmail_nameservers = 127.0.0.1:1
"""


@dataclass
class Sink:
    """Takes mail on 127.0.0.1 and those behind it, and notes who got it, in order. Refuses until it is opened."""

    port: int
    arrived: list[str] = field(default_factory=list)

    async def open(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, list(map(address, range(DOMAINS))), self.port, limit=1 << 20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        try:
            while line := await reader.readline():
                word = line[:4].upper()
                if word == b"EHLO":
                    writer.write(b"250-sink\r\n250 PIPELINING\r\n")
                elif word == b"DATA":
                    writer.write(b"354 go\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    writer.write(b"250 ok\r\n")
                elif word == b"RCPT":
                    self.arrived.append(re.sub(rb".*<(.*)>.*", rb"\1", line.strip()).decode())
                    writer.write(b"250 ok\r\n")
                else:
                    writer.write(b"250 ok\r\n")
                    if word == b"QUIT":
                        break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side, or the measurement, has ended
        writer.close()


def address(number: int) -> str:
    """The next hop of a domain."""
    return f"127.0.0.{number + 1}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class System:
    """`hardmail run` on a configuration of its own."""

    def __init__(self, place: Path, sink: Sink) -> None:
        self.place, self.confdir = place, place / "conf"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        for directory in (self.confdir, place / "spool", place / "data"):
            directory.mkdir()
        transports = " ".join(f"{{ d{n}.example = smtp:[{address(n)}]:{sink.port} }}" for n in range(DOMAINS))
        (self.confdir / "main.cf").write_text(MAIN.format(place=place, transports=transports))
        (self.confdir / "master.cf").write_text(MASTER.format(port=self.port))

    def start(self) -> float:
        """Seconds until the first 220."""
        began = time.monotonic()
        self.process = subprocess.Popen([*HARDMAIL, "run", "-c", str(self.confdir)], stdout=subprocess.DEVNULL)
        while self.process.poll() is None and time.monotonic() - began < START_PATIENCE:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
                    if client.recv(100).startswith(b"220"):
                        return time.monotonic() - began
            except OSError:
                time.sleep(0.01)
        raise SystemExit("it does not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def pss(self) -> int:
        """Proportional memory of all processes, KiB."""
        assert self.process is not None
        family, total = [self.process.pid], 0
        for pid in family:
            family += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(match[1]) if match else 0
        return total

    def rate(self) -> float:
        """Messages a second that are accepted for a next hop that is down."""
        began = time.monotonic()
        command = [
            "smtp-source", "-s", str(RATE_SESSIONS), "-m", str(RATE_MESSAGES), "-l", "2048", "-d",
            "-f", "sender@example.org", "-t", "load@d0.example", f"127.0.0.1:{self.port}",
        ]  # fmt: skip
        subprocess.run(command, check=True)
        return RATE_MESSAGES / (time.monotonic() - began)

    def tool(self, *arguments: str) -> None:
        subprocess.run([*HARDMAIL, *arguments], check=True, stdout=subprocess.DEVNULL)

    def mailq(self) -> tuple[float, float]:
        """Seconds until the first line, until the last."""
        began = time.monotonic()
        command = [*HARDMAIL, "postqueue", "-c", str(self.confdir), "-p"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            first = time.monotonic() - began
            while process.stdout.read(1 << 16):
                pass
        return first, time.monotonic() - began


async def drain(system: System, sink: Sink, expected: int) -> dict[str, Any]:
    """Let the next hops answer again; how long, how much memory, and when the small domains had all of theirs."""
    server, highest, began = await sink.open(), 0, time.monotonic()
    await asyncio.to_thread(system.tool, "postqueue", "-c", str(system.confdir), "-f")
    while len(sink.arrived) < expected and time.monotonic() - began < PATIENCE:
        await asyncio.sleep(1)
        highest = max(highest, system.pss())
        print(f"\r{len(sink.arrived)} of {expected}", end="", flush=True)
    seconds = time.monotonic() - began
    server.close()
    last: dict[str, int] = {}
    for place, address in enumerate(sink.arrived):
        last[address.rpartition("@")[2]] = place
    small = [place for name, place in last.items() if name != "d0.example"]
    return {
        "drain s": round(seconds, 1),
        "drain mails/s": round(len(sink.arrived) / seconds),
        "arrived": len(sink.arrived),
        "distinct": len(set(sink.arrived)),
        "last of a small destination at place": max(small, default=0),
        "PSS while draining MiB": round(highest / 1024),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--due", action="store_true", help="all of them are due at the start")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="backlog-") as name:
        Path(name).chmod(0o755)  # started by root, the services are someone else
        for each in ("empty", "long"):
            (Path(name) / each).mkdir()
        sink = Sink(free_port())
        empty, long = System(Path(name) / "empty", sink), System(Path(name) / "long", sink)
        try:
            found = measure(empty, long, options.messages, due=0.0 if options.due else time.time() + LATER)
            found |= asyncio.run(drain(long, sink, options.messages + RATE_TRIALS * RATE_MESSAGES))
        finally:
            empty.stop()
            long.stop()
    print()
    for key, value in found.items():
        print(f"{key:40} {value}")


def measure(empty: System, long: System, messages: int, due: float) -> dict[str, Any]:
    """All but the drain. What has to be compared is measured in turns: others use the machine too."""

    def where(number: int) -> str:
        rest = number - (messages - (DOMAINS - 1) * SMALL)
        return f"d{1 + rest % (DOMAINS - 1)}.example" if rest >= 0 else "d0.example"

    began = time.monotonic()
    with Queue.open(long.place / "spool") as queue:
        asyncio.run(fill(queue, messages, where, due=lambda number: due))
    found: dict[str, Any] = {"filled s": round(time.monotonic() - began, 1)}
    for name, system in (("empty", empty), ("long", long)):
        found[f"start, {name} s"] = round(system.start(), 2)
        found[f"PSS, {name} MiB"] = round(system.pss() / 1024)
    found["mailq first line s"], found["mailq all s"] = (round(value, 2) for value in long.mailq())
    pairs = [(empty.rate(), long.rate()) for _ in range(RATE_TRIALS)]
    found["accepted, empty mails/s"] = round(statistics.median(rate for rate, _ in pairs))
    found["accepted, long mails/s"] = round(statistics.median(rate for _, rate in pairs))
    ratios = sorted(longer / shorter for shorter, longer in pairs)
    found["ratio, median and range"] = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    found["PSS, long, after that MiB"] = round(long.pss() / 1024)
    empty.stop()
    return found


if __name__ == "__main__":
    main()
