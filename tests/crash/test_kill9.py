"""SIGKILL at random moments, to the supervisors and to each service in turn: what was answered 250 is not lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.behaviours.processes import children
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript, WireError

pytestmark = pytest.mark.slow

MAILS, CONNECTIONS = 2000, 20
# Each of them has to be killed at least once.
SERVICES = {"supervisor", "smtpd", "qmgr", "lmtp", "auth", "imap"}
# Between two kills the stack gets this long to take mail again, drawn anew each time (seconds).
PAUSE_SECONDS = (0.2, 0.8)
ALL_SECONDS = 300.0
LOOK_AGAIN_SECONDS = 0.05


class Stack:
    """`hardmail up` in a directory that outlives its processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lab: Lab | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Lab:
        """Start (again) on the same configuration, queue and mail."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lab", "up", "--json", "--dir", str(self.directory),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.lab = Lab.of_json(await self._process.stdout.readline())
        return self.lab

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


async def send(stack: Stack, tokens: list[str], accepted: list[str]) -> None:
    """Send a mail for each token, again and again until it is answered 250; each answer is written down."""
    while tokens:
        assert stack.lab is not None
        try:
            address, port = stack.lab.endpoint("nullclient.smtp")
            async with await SMTP.open(address, port, source="127.0.0.1", transcript=Transcript()) as smtp:
                await smtp.ehlo("localhost")
                while tokens:
                    token = tokens[-1]
                    smtp.transcript.lines.clear()
                    recipient = stack.lab.user("alice").address
                    reply = await smtp.send_message("root", [recipient], stack.lab.message(token))
                    if reply.code == 250:
                        accepted.append(tokens.pop())
        except WireError:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)  # it is down; the next connection will be taken


async def havoc(stack: Stack, dice: random.Random, done: Callable[[], bool]) -> Counter[str]:
    """Kill the supervisor, then each service in turn, at random moments, until `done`; how often each was killed."""
    kills: Counter[str] = Counter()
    while not done() or not set(kills) >= SERVICES:
        await asyncio.sleep(dice.uniform(*PAUSE_SECONDS))
        if not kills or kills["supervisor"] * 4 < kills.total():
            await stack.kill_supervisor()
            kills["supervisor"] += 1
            await stack.start()
            continue
        services = stack.services()
        name = min(services, key=lambda service: (kills[service], service))
        for pid in services[name]:
            try:
                os.kill(pid, signal.SIGKILL)
                kills[name] += 1
            except ProcessLookupError:
                continue
    return kills


async def test_no_accepted_mail_is_lost(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 32)
    stack, dice = Stack(place / "lab"), random.Random(seed)
    accepted: list[str] = []
    await stack.start()
    try:
        async with asyncio.timeout(ALL_SECONDS):
            work = [[Lab.token() for _ in range(MAILS // CONNECTIONS)] for _ in range(CONNECTIONS)]
            senders = [asyncio.create_task(send(stack, tokens, accepted)) for tokens in work]
            kills = await havoc(stack, dice, lambda: all(task.done() for task in senders))
            await asyncio.gather(*senders)
            lab = await stack.start() if stack.lab is None else stack.lab
            counts = await lab.counted(lab.user("alice"), accepted, seconds=ALL_SECONDS)
    finally:
        await stack.stop()
    lost = [token for token in accepted if not counts[token]]
    doubled = sum(count - 1 for count in counts.values() if count > 1)
    with capsys.disabled():
        print(f"\nkill -9 (seed {seed}): {len(accepted)} mails answered 250, {dict(kills)} killed, "
              f"lost {len(lost)}, duplicates {doubled}")  # fmt: skip
    assert len(accepted) == MAILS
    assert not lost
