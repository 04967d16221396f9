"""Real programs in a mount namespace of their own, where /etc has the accounts and the PAM services of a test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from passlib.hash import sha512_crypt

ROOT = Path(__file__).parents[3]
NAMESPACE = ["unshare", "--mount"]
OVERLAY = 'for file in passwd shadow group pam.d; do mount --bind "$0/$file" "/etc/$file" || exit 1; done; exec "$@"'
START_LIMIT = 30.0

PAM = """\
auth required pam_unix.so nodelay
account required pam_unix.so
session required pam_permit.so
"""


def accounts(directory: Path, users: Mapping[str, str], *, expired: str = "", locked: str = "") -> Path:
    """Copies of /etc/passwd and the like with more users (name: password) and the PAM service ``mailtest``."""
    etc = directory / "etc"
    (etc / "pam.d").mkdir(parents=True)
    for name in ("passwd", "group"):
        shutil.copy(f"/etc/{name}", etc / name)
    today = 20000
    with (etc / "passwd").open("a") as passwd, (etc / "shadow").open("w") as shadow:
        shadow.write(f"root:*:{today}:0:99999:7:::\n")
        for number, (name, password) in enumerate(users.items(), 6001):
            passwd.write(f"{name}:x:{number}:{number}:Test:/home/{name}:/bin/false\n")
            stored = "!" if name == locked else sha512_crypt.using(rounds=1000).hash(password)
            shadow.write(f"{name}:{stored}:{today}:0:99999:7::{1 if name == expired else ''}:\n")
    (etc / "shadow").chmod(0o600)
    (etc / "pam.d" / "mailtest").write_text(PAM)
    return etc


@contextlib.asynccontextmanager
async def running(etc: Path, *command: str, ready: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program of hardmail in such a namespace; with ``ready``, once it has said so on its ready descriptor."""
    reader, writer = os.pipe()
    arguments = [*NAMESPACE, "sh", "-c", OVERLAY, str(etc), sys.executable, "-P", "-m", "lab", *command]
    process = await asyncio.create_subprocess_exec(
        *arguments,
        *(["--ready-fd", str(writer)] if ready else []),
        pass_fds=[writer],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    try:
        if ready:
            async with asyncio.timeout(START_LIMIT):
                said = await asyncio.to_thread(os.read, reader, 1)
            assert said and process.stderr is not None, (await process.communicate())[1].decode()
        yield process
    finally:
        os.close(reader)
        if process.returncode is None:
            process.terminate()
        await process.communicate()
