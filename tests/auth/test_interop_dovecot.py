"""Beside the real Dovecot 2.3: our clients on its sockets, its doveadm on ours, each other's password hashes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auth import schemes
from auth.client import AuthClient, AuthFailed, MasterClient
from tests.interop import realdovecot

if TYPE_CHECKING:
    from .conftest import Running

pytestmark = [pytest.mark.interop, pytest.mark.needs("dovecot", "dovecot-core")]

Start = Callable[..., Awaitable["Running"]]
PASSWORD = "pa55-Word"


@pytest.fixture
def dovecot(place: Path) -> Iterator[Path]:
    """A private Dovecot that only authenticates; the directory with its sockets."""
    (place / "users").write_text("alice:{PLAIN}secret:5:6::/home/alice::\nnolog:{PLAIN}secret::::::nologin\n")
    (place / "users").chmod(0o644)
    databases = "".join(
        f"{kind} {{\n driver = passwd-file\n args = {place}/users\n}}\n" for kind in ("passdb", "userdb")
    )
    configuration = "auth_mechanisms = plain login cram-md5 scram-sha-256\n" + databases
    with realdovecot.authenticating(place, configuration) as sockets:
        yield sockets


async def no_challenge(data: bytes) -> bytes:
    raise AssertionError(data)


async def test_our_clients_on_dovecots_sockets(dovecot: Path) -> None:
    client = AuthClient(dovecot / "auth-client")
    names = [mechanism.name for mechanism in await client.mechanisms()]
    assert names == ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"]
    remote = ("127.0.0.9", 4711)
    assert (await client.authenticate("PLAIN", b"\0alice\0secret", no_challenge, remote=remote)).user == "alice"
    assert (await client.authenticate("PLAIN", b"\0nolog\0secret", no_challenge)).nologin
    with pytest.raises(AuthFailed):
        await client.authenticate("PLAIN", b"\0alice\0wrong", no_challenge)

    async def login(data: bytes) -> bytes:
        return {b"Username:": b"alice", b"Password:": b"secret"}[data]

    assert (await client.authenticate("LOGIN", None, login)).user == "alice"
    await client.close()
    master = MasterClient(dovecot / "auth-userdb")
    found = await master.user("alice", "lmtp")
    assert found is not None
    assert (found.uid, found.gid, found.home) == (5, 6, "/home/alice")
    assert await master.user("nobody", "lmtp") is None
    assert [user async for user in master.list(service="doveadm")] == ["alice", "nolog"]
    await master.close()


async def test_a_log_in_process_of_ours_beside_dovecots_master(dovecot: Path) -> None:
    client, master = AuthClient(dovecot / "auth-login", "imap"), MasterClient(dovecot / "auth-master")
    success = await client.authenticate("PLAIN", b"\0alice\0secret", no_challenge, nologin=False)
    found = await master.login(success)
    assert found is not None
    assert found.home == "/home/alice"
    await client.close()
    await master.close()


async def test_dovecots_doveadm_on_our_sockets(start: Start, tmp_path: Path) -> None:
    running = await start(
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n"
        f"userdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n",
        users="alice:{PLAIN}secret:5:6::/home/alice::\n",
    )
    config = tmp_path / "theirs.conf"
    config.write_text("log_path = /dev/stderr\nprotocols =\n")

    async def doveadm(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            "doveadm", "-c", str(config), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    client, userdb = str(running.path("auth-client")), str(running.path("auth-userdb"))
    assert await doveadm("auth", "test", "-a", client, "alice", "secret") == (
        0,
        "passdb: alice auth succeeded\nextra fields:\n  user=alice\n",
    )
    assert (await doveadm("auth", "test", "-a", client, "alice", "wrong"))[0] == 77
    status, text = await doveadm("user", "-a", userdb, "-u", "alice")
    assert (status, text.split()[-3:]) == (0, ["home", ":", "/home/alice"])
    assert await doveadm("user", "-a", userdb, "*") == (0, "alice\n")
    assert await doveadm("auth", "lookup", "-a", userdb, "alice") == (0, "passdb: alice\n  user      : alice\n")


SALTED = [name for name in schemes.SCHEMES if name != "PLAIN-TRUNC"]


@pytest.mark.parametrize("name", SALTED)
def test_hashes_of_one_are_good_for_the_other(name: str) -> None:
    theirs = doveadm_pw("-s", name, "-u", "alice@dom")
    assert schemes.verify(*schemes.split(theirs, "CRYPT"), PASSWORD.encode(), "alice@dom")
    ours = f"{{{name}}}{schemes.generate(name, PASSWORD.encode(), 'alice@dom')}"
    assert "(verified)" in doveadm_pw("-t", ours, "-u", "alice@dom")


def doveadm_pw(*arguments: str) -> str:
    """What the real ``doveadm pw`` prints."""
    command = ["doveadm", "pw", "-p", PASSWORD, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
