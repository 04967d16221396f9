"""checkpassword: a program of the administrator's, run by the worker for the jailed auth service."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from auth.client import AuthClient, AuthFailed, MasterClient
from auth.worker import checkpassword

from .machine import ROOT
from .test_accounts import CONFIG, no_challenge

PROGRAM = """\
#!/usr/bin/python3
import os, sys
user, password, _ = os.read(3, 512).split(b"\\0", 2)
lookup = os.environ.get("AUTHORIZED") == "1"
if user != b"alice":
    sys.exit(3 if lookup else 1)
if user == b"alice" and not lookup and password != b"secret":
    sys.exit(1)
if lookup:
    os.environ["AUTHORIZED"] = "2"
os.environ.update(PATH="/bin:/usr/bin", USER="alice", HOME="/home/alice", EXTRA="userdb_uid quota", userdb_uid="77", quota="5M")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def program(place: Path) -> Path:
    path = place / "checkpw"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    return path


def test_the_interface(program: Path) -> None:
    run = checkpassword.run
    answer = run(str(program), "alice", "secret", {})
    assert answer["result"] == "ok"
    assert {"user=alice", "userdb_home=/home/alice", "userdb_uid=77", "quota=5M"} <= set(answer["fields"])
    assert run(str(program), "alice", "wrong", {})["result"] == "mismatch"
    assert run(str(program), "nobody", None, {}) == {"result": "unknown", "fields": []}
    assert run(str(program), "alice", None, {})["result"] == "ok"
    assert run(str(program), "a" * 600, "x", {})["result"] == "mismatch"
    assert "ended with status" in run("/bin/false x", "alice", None, {})["error"]
    assert "no reply" in run("/bin/true x", "alice", "p", {})["error"]


async def test_through_the_jailed_service(place: Path, program: Path) -> None:
    config = CONFIG.format(place=place, driver="checkpassword", args=program).replace(
        "driver = passwd\n", f"driver = checkpassword\n  args = {program}\n"
    )
    (place / "dovecot.conf").write_text(config)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "lab", "run", "-c", str(place), env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    client = AuthClient(place / "run/auth-client")
    try:
        async with asyncio.timeout(20):
            while not (place / "run/auth-client").exists():
                await asyncio.sleep(0.02)
        success = await client.authenticate("PLAIN", b"\0alice\0secret", no_challenge)
        assert (success.user, success.fields["quota"]) == ("alice", "5M")
        with pytest.raises(AuthFailed):
            await client.authenticate("PLAIN", b"\0alice\0wrong", no_challenge)
        master = MasterClient(place / "run/auth-userdb")
        found = await master.user("alice", "lmtp")
        assert found is not None and (found.uid, found.home) == (77, "/home/alice")
        assert await master.user("bob", "lmtp") is None
        await master.close()
    finally:
        await client.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()
