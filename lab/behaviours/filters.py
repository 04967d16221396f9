"""Real content filters beside the lab's mail host: started and ended by a probe, reached through a milter socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lab.behaviours.base import Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import LOOK_AGAIN_SECONDS, Lab
from lab.programs import Program
from lab.wire import Reply, Transcript

READY_IN_SECONDS = 40.0
"""SpamAssassin reads its rules first; a virus scanner its signatures."""

NO_MILTER = (Change("mailhost/main.cf", "smtpd_milters ="),)
"""The weakened twin of every filter."""


def milter_directory(lab: Lab) -> Path:
    """Where a filter puts its socket: below the queue directory, as Debian has it, for smtpd to reach from its jail."""
    place = lab.queue_directory("mailhost") / "milter"
    place.mkdir(mode=0o755, exist_ok=True)
    return place


@asynccontextmanager
async def running(
    program: Program, *arguments: str, socket: Path, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A filter in the foreground from when it takes connections until the end of the block. Raises ProbeFailed."""
    socket.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(program.path()),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        await _until_it_listens(process, socket, log)
        yield process
    finally:
        await stop(process)


async def _until_it_listens(process: asyncio.subprocess.Process, socket: Path, log: Path) -> None:
    deadline = time.monotonic() + READY_IN_SECONDS
    while time.monotonic() < deadline and process.returncode is None:
        try:
            _, writer = await asyncio.open_unix_connection(socket)
        except OSError:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            continue
        writer.close()
        socket.chmod(0o666)  # smtpd is another user
        return
    raise ProbeFailed(f"{process.pid} does not listen: {log.read_text(errors='replace').strip()[-500:]}")


async def stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and wait."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, 15)
    await process.wait()


async def send(lab: Lab, content: str, evidence: Transcript) -> Reply:
    """The reply to the end of a mail to alice from outside."""
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        return await smtp.send_message("friend@outside.example", [lab.user("alice").address], content)


async def judged(lab: Lab, bad: str, mark: bytes, evidence: Transcript) -> Finding | Reply:
    """`bad` is refused at end-of-data; a harmless mail arrives with `mark`, a header of the filter.

    The refusal, or the finding that there is no filter. Raises ProbeFailed.
    """
    refusal = await send(lab, bad, evidence)
    if refusal.code == 250:
        return exposed(f"accepted: {refusal}")
    if refusal.code // 100 != 5:
        raise ProbeFailed(f"neither accepted nor refused: {refusal}")
    token = lab.token()
    accepted = await send(lab, lab.message(token), evidence)
    if accepted.code != 250:
        raise ProbeFailed(f"a harmless mail is refused: {accepted}")
    if mark not in await lab.arrived(lab.user("alice"), token, evidence):
        raise ProbeFailed(f"the filter has not seen the harmless mail: no {mark.decode()}")
    return refusal


async def kept_by_the_client(lab: Lab, refusal: Reply, what: str, evidence: Transcript) -> Finding:
    """With the filter gone, mail is refused for now: who sends it keeps it. Raises ProbeFailed."""
    evidence.note(f"{what} is ended")
    deferred = await send(lab, lab.message(lab.token()), evidence)
    if deferred.code // 100 != 4:
        raise ProbeFailed(f"without {what}: {deferred}")
    return hardened(f"{refusal}; without {what} {deferred}")
