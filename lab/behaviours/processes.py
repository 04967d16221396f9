"""The processes that a probe starts: tools that run to their end, and supervisors that are stopped or killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

HARDMAIL = (sys.executable, "-m", "lab")
STOPS_IN_SECONDS = 8.0


class StackFailed(Exception):
    """The stack, or a tool, did not start or did not end well."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    status: int
    output: str
    errors: str


async def run_to_end(argv: Sequence[str], stdin: str) -> Result:
    """Run a program with this standard input."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        output, errors = await process.communicate(stdin.encode())
    except asyncio.CancelledError:
        process.kill()
        raise
    assert process.returncode is not None
    return Result(process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))


@asynccontextmanager
async def running_daemon(confdir: Path) -> AsyncIterator[Daemon]:
    """`hardmail run -c CONFDIR`, ready at the start of the block and gone at its end. Raises StackFailed."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *HARDMAIL,
        "run",
        "-c",
        str(confdir),
        "--ready-fd",
        str(writing),
        pass_fds=(writing,),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    errors = asyncio.create_task(collect(process.stderr))
    try:
        if not await asyncio.to_thread(os.read, reading, 64):
            raise StackFailed((await errors).strip())
        yield Daemon(process)
    finally:
        os.close(reading)
        await end(process, errors)


class Daemon:
    """A supervisor that a probe has started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def kill(self) -> int:
        """SIGKILL to the services and to the supervisor, all at once; how many processes that were."""
        pids = [*children(self._process.pid), self._process.pid]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()
        return len(pids)


def children(pid: int) -> list[int]:
    """The child processes of a process (proc(5))."""
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


async def collect(stream: asyncio.StreamReader | None) -> str:
    """Everything that a process writes there."""
    assert stream is not None
    return (await stream.read()).decode("utf-8", "replace")


async def end(process: asyncio.subprocess.Process, errors: asyncio.Task[str]) -> None:
    """SIGTERM, then wait; SIGKILL for what does not listen."""
    if process.returncode is None:
        # Not process.terminate(): that polls, and so takes the exit status away from asyncio's child watcher.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOPS_IN_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    with contextlib.suppress(asyncio.CancelledError):
        await errors
