"""What the crash tests share: a stack that is killed and started again, a disk that runs full, mail that is counted."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab.behaviours.processes import children
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript, WireError

# Each of them has to be killed at least once.
SERVICES = {"supervisor", "smtpd", "qmgr", "lmtp", "auth", "imap"}
# Between two kills the stack gets this long to take mail again, drawn anew each time (seconds).
PAUSE_SECONDS = (0.2, 0.8)
LOOK_AGAIN_SECONDS = 0.05


class Disk:
    """A small file system over a directory, in a mount namespace that ends with one process of ours (root only)."""

    def __init__(self, directory: Path, pid: int) -> None:
        self.directory = Path(f"/proc/{pid}/root{directory}")
        """The directory as it is seen from outside of the namespace."""
        self.prefix = ("nsenter", f"--mount=/proc/{pid}/ns/mnt", f"--wd={Path.cwd()}")
        """Runs a command inside."""

    @classmethod
    @contextlib.asynccontextmanager
    async def mounted(cls, directory: Path, options: str) -> AsyncIterator[Disk]:
        """A tmpfs with these mount options."""
        script = 'mount -t tmpfs -o "$0" tmpfs "$1" && echo && exec cat'
        pipe = asyncio.subprocess.PIPE
        command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, options, str(directory))
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin is not None and process.stdout is not None
        try:
            assert await process.stdout.readline(), "cannot mount a tmpfs"
            yield cls(directory, process.pid)
        finally:
            process.stdin.close()
            await process.wait()

    async def fill_up(self, seconds: float, enough: Callable[[], bool]) -> None:
        """Leave no free block, also of what is freed meanwhile, for so long and until it is enough."""
        path = self.directory / "filler"
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        with path.open("wb", buffering=0) as file:
            size = 0
            while loop.time() < until or not enough():
                status = os.statvfs(self.directory)
                with contextlib.suppress(OSError):
                    if status.f_bavail:
                        os.posix_fallocate(file.fileno(), size, status.f_bavail * status.f_frsize)
                        size += status.f_bavail * status.f_frsize
                await asyncio.sleep(0.005)
        path.unlink()


class Stack:
    """`hardmail up` in a directory that outlives its processes."""

    def __init__(self, directory: Path, *options: str, prefix: Iterable[str] = ()) -> None:
        self.directory = directory
        self.lab: Lab | None = None
        self._command = (*prefix, sys.executable, "-m", "lab", "up", "--json", "--dir", str(directory))
        self._first = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Lab:
        """Start (again, then without the options) on the same configuration, queue and mail; as often as it takes, as a service manager does."""
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, *self._first, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
            )
            assert self._process.stdout is not None
            if line := await self._process.stdout.readline():
                self.lab, self._first = Lab.of_json(line), ()
                return self.lab
            await self._process.wait()
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def services(self) -> dict[str, list[int]]:
        """The running service processes by name (proc(5), comm)."""
        assert self._process is not None
        found: dict[str, list[int]] = {}
        for pid in children(self._process.pid):
            try:
                found.setdefault(Path(f"/proc/{pid}/comm").read_text().strip(), []).append(pid)
            except OSError:
                continue  # it has just died
        return found

    async def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor alone: the kernel takes its children with it."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM and wait."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


@dataclass
class Load:
    """Clients that send mail until they are told that it is enough."""

    stack: Stack
    accepted: list[str] = field(default_factory=list)
    replies: Counter[str] = field(default_factory=Counter)
    """What was answered instead of 250, by code and enhanced status."""

    async def send(self, enough: Callable[[], bool], allowed: Callable[[], float] = lambda: math.inf) -> None:
        """One client after the other; a mail is sent again and again until it is answered 250.

        `allowed`: how many may have been accepted by now.
        """
        token = Lab.token()
        while not enough():
            assert self.stack.lab is not None
            lab = self.stack.lab
            recipient = lab.user("alice").address
            try:
                address, port = lab.endpoint("nullclient.smtp")
                async with await SMTP.open(address, port, source="127.0.0.1", transcript=Transcript()) as smtp:
                    await smtp.ehlo("localhost")
                    while not enough():
                        if len(self.accepted) >= allowed():
                            await asyncio.sleep(LOOK_AGAIN_SECONDS)
                            continue
                        smtp.transcript.lines.clear()
                        reply = await smtp.send_message("root", [recipient], lab.message(token))
                        if reply.code == 250:
                            self.accepted.append(token)
                            token = Lab.token()
                        else:
                            self.replies[str(reply)[:9]] += 1
                            await smtp.command("RSET")
                            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            except WireError:
                await asyncio.sleep(LOOK_AGAIN_SECONDS)  # it is down; the next connection will be taken


async def havoc(
    stack: Stack, dice: random.Random, done: Callable[[Counter[str]], bool], spare: Callable[[], bool] = lambda: False
) -> Counter[str]:
    """Kill the supervisor, then each service in turn, at random moments, until `done`; how often each was killed.

    The supervisor lives while `spare` says so.
    """
    kills: Counter[str] = Counter()
    while not done(kills):
        await asyncio.sleep(dice.uniform(*PAUSE_SECONDS))
        if not spare() and (not kills or kills["supervisor"] * 4 < kills.total()):
            await stack.kill_supervisor()
            kills["supervisor"] += 1
            await stack.start()
            continue
        services = stack.services()
        if not services:
            continue
        name = min(services, key=lambda service: (kills[service], service))
        for pid in services[name]:
            try:
                os.kill(pid, signal.SIGKILL)
                kills[name] += 1
            except ProcessLookupError:
                continue
    return kills


@dataclass(frozen=True)
class Arrived:
    """The mail in a mail root: each copy of a token with the queue ids it had on its way."""

    copies: dict[str, list[tuple[str, ...]]]

    @classmethod
    def read(cls, mail_root: Path) -> Arrived:
        """Every message in `new` or `cur` of any Maildir below."""
        copies: dict[str, list[tuple[str, ...]]] = {}
        for path in (*mail_root.rglob("new/*"), *mail_root.rglob("cur/*")):
            head = path.read_bytes().split(b"\n\n", 1)[0].replace(b"\n\t", b" ").replace(b"\n ", b" ").decode()
            if found := re.search(r"^Subject: .*(hardmail-[0-9a-f]{16})", head, re.MULTILINE):
                # The newest Received line stands first; the client's own hand-over is the last one.
                ids = re.findall(r"^Received: .*? id ([0-9A-Za-z]+)", head, re.MULTILINE)
                copies.setdefault(found[1], []).append(tuple(reversed(ids)))
        return cls(copies)

    def duplicates(self) -> Counter[str]:
        """Copies beyond the first, by where they were made: the first hop at which two ways part."""
        found: Counter[str] = Counter()
        for ways in self.copies.values():
            first, second = {way[:1] for way in ways}, {way[:2] for way in ways}
            found["sent again by the client"] += len(first) - 1
            found["relayed again"] += len(second) - len(first)
            found["stored again"] += len(ways) - len(second)
        return +found
