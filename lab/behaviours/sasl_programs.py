"""What the probes of Cyrus SASL and of the password databases share: saslauthd, and auth services of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from auth.client import AuthClient, AuthFailed, AuthUnavailable
from lab.behaviours.base import ProbeFailed
from lab.behaviours.processes import HARDMAIL, collect, end
from lab.behaviours.stack import Lab
from lab.wire import Transcript

START_SECONDS = 15.0
LOOK_AGAIN_SECONDS = 0.02
ROOM_MODE = 0o755

AUTH_ONLY = """\
protocols =
base_dir = {place}/run
state_dir = {place}/state
auth_failure_delay = 0
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
"""


def room(lab: Lab, name: str) -> Path:
    """A directory in the lab that the services' users can enter."""
    place = lab.directory / name
    place.mkdir()
    place.chmod(ROOM_MODE)
    return place


@asynccontextmanager
async def saslauthd(directory: Path, evidence: Transcript, *arguments: str) -> AsyncIterator[Path]:
    """`hardmail saslauthd` with its socket in `directory`; the path of the socket. Raises ProbeFailed."""
    process = await asyncio.create_subprocess_exec(
        *HARDMAIL, "saslauthd", "-m", str(directory), *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    errors = asyncio.create_task(collect(process.stderr))
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _takes_connections(directory / "mux"):
                if process.returncode is not None:
                    raise ProbeFailed(f"saslauthd: {(await errors).strip()}")
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        evidence.note(f"hardmail saslauthd {' '.join(arguments)}: process {process.pid} listens on {directory / 'mux'}")
        yield directory / "mux"
    finally:
        await end(process, errors)


async def _takes_connections(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


async def testsaslauthd(lab: Lab, path: Path, user: str, password: str, evidence: Transcript, realm: str = "") -> bool:
    """What `testsaslauthd` says of a password."""
    arguments = ["-f", str(path), "-u", user, "-p", password, *(["-r", realm] if realm else [])]
    result = await lab.hardmail("testsaslauthd", *arguments)
    evidence.note(f"testsaslauthd -u {user} -p ...: exit {result.status}: {result.output.strip()}")
    return result.status == 0


async def login(socket: Path, user: str, password: str, evidence: Transcript) -> bool:
    """Whether a PLAIN log-in over an auth socket succeeds. Raises ProbeFailed when the service cannot tell."""

    async def challenge(data: bytes) -> bytes:
        raise ProbeFailed("PLAIN has no challenge")

    client = AuthClient(socket)
    try:
        await client.authenticate("PLAIN", f"\0{user}\0{password}".encode(), challenge, secured=True)
    except AuthFailed as error:
        if error.temp:
            raise ProbeFailed(f"{user}: {error.reason or error.code}") from None
        evidence.note(f"AUTH PLAIN {user}: FAIL")
        return False
    except AuthUnavailable as error:
        raise ProbeFailed(str(error)) from None
    finally:
        with contextlib.suppress(AuthUnavailable):
            await client.close()
    evidence.note(f"AUTH PLAIN {user}: OK")
    return True


def auth_service(place: Path, blocks: Iterable[str]) -> Path:
    """A configuration of authentication alone, with these blocks and settings; the path of its client socket."""
    (place / "dovecot.conf").write_text(AUTH_ONLY.format(place=place) + "".join(blocks))
    return place / "run/auth-client"
