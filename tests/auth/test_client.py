"""The asyncio clients against our own service: interleaving, reconnection, and servers that misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auth.client import (
    AuthCancelled,
    AuthClient,
    AuthFailed,
    AuthUnavailable,
    LookupFailed,
    MasterClient,
)

if TYPE_CHECKING:
    from .conftest import Running

Start = Callable[..., Awaitable["Running"]]

USERS = "alice:{PLAIN}secret:5:6::/home/alice::\nbob:{PLAIN}x::::::userdb_tempfail userdb_reason=Maintenance\n"


async def no_challenge(data: bytes) -> bytes:
    raise AssertionError("no challenge is expected")


@pytest.fixture
async def running(start: Start, tmp_path: Path) -> Running:
    """A service with two users."""
    return await start(
        "auth_mechanisms = plain login scram-sha-256\n"
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n"
        f"userdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n",
        users=USERS,
    )


async def test_penalties(start: Start, tmp_path: Path) -> None:
    running = await start(f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n", users="alice:{PLAIN}x\n")
    client, master = AuthClient(running.path("auth-client")), MasterClient(running.path("auth-master"))

    async def challenge(data: bytes) -> bytes:
        raise AssertionError(data)

    with pytest.raises(AuthFailed):
        await client.authenticate("PLAIN", b"\0alice\0wrong", challenge, remote=("192.0.2.1", 1))
    rows = [row async for row in master.penalties()]
    assert [(address, count) for address, count, _, _ in rows] == [("192.0.2.1", 1)]
    assert all(abs(when - time.time()) < 10 for when in rows[0][2:])
    await client.close()
    await master.close()


async def test_authenticate(running: Running) -> None:
    client = AuthClient(running.path("auth-client"))
    assert [mechanism.name for mechanism in await client.mechanisms()] == ["PLAIN", "LOGIN", "SCRAM-SHA-256"]
    success = await client.authenticate(
        "plain", b"\0alice\0secret", no_challenge, secured=True, local=("127.0.0.1", 25), remote=("127.0.0.9", 4711)
    )
    assert success.user == "alice"
    with pytest.raises(AuthFailed) as caught:
        await client.authenticate("PLAIN", b"\0alice\0wrong", no_challenge)
    assert (caught.value.user, caught.value.code, caught.value.temporary) == ("alice", "", False)
    with pytest.raises(AuthFailed):
        await client.authenticate("NTLM", None, no_challenge)
    await client.close()


async def test_challenges(running: Running) -> None:
    client = AuthClient(running.path("auth-client"))
    asked = []

    async def challenge(data: bytes) -> bytes:
        asked.append(data)
        return {b"Username:": b"alice", b"Password:": b"secret"}[data]

    assert (await client.authenticate("LOGIN", None, challenge)).user == "alice"
    assert asked == [b"Username:", b"Password:"]

    async def gives_up(data: bytes) -> bytes:
        raise AuthCancelled

    with pytest.raises(AuthCancelled):
        await client.authenticate("LOGIN", None, gives_up)
    assert (await client.authenticate("LOGIN", None, challenge)).user == "alice", "the connection is still good"
    await client.close()


async def test_many_at_once(running: Running) -> None:
    client = AuthClient(running.path("auth-client"))
    passwords = [b"secret" if n % 2 else b"wrong" for n in range(200)]
    results = await asyncio.gather(
        *(client.authenticate("PLAIN", b"\0alice\0" + password, no_challenge) for password in passwords),
        return_exceptions=True,
    )
    assert [isinstance(result, AuthFailed) for result in results] == [password == b"wrong" for password in passwords]
    await client.close()


async def test_lookups(running: Running) -> None:
    master = MasterClient(running.path("auth-userdb"))
    found = await master.user("ALICE", "lmtp")
    assert found is not None
    assert (found.user, found.uid, found.gid, found.home) == ("alice", 5, 6, "/home/alice")
    assert await master.user("nobody", "lmtp") is None
    with pytest.raises(LookupFailed) as caught:
        await master.user("bob", "lmtp")
    assert caught.value.reason == "Maintenance"
    assert [user async for user in master.list(service="doveadm")] == ["alice", "bob"]
    assert (await master.passdb("alice", "x")) is not None
    await master.close()


async def test_a_finished_log_in(running: Running) -> None:
    client = AuthClient(running.path("auth-login"), "imap")
    master = MasterClient(running.path("auth-master"))
    success = await client.authenticate("PLAIN", b"\0alice\0secret", no_challenge, nologin=False)
    found = await master.login(success)
    assert found is not None
    assert found.home == "/home/alice"
    assert await master.flush_cache() == 0
    await client.close()
    await master.close()


async def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(AuthUnavailable, match="No such file"):
        await AuthClient(tmp_path / "nothing").mechanisms()


class Script:
    """A server that greets, answers each connection's request by one line of a list, and closes."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"VERSION\t1\t2\nMECH\tPLAIN\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n")
        while line := await reader.readline():
            if line.startswith(b"AUTH"):
                reply = self.replies.pop(0)
                writer.write(reply.replace(b"ID", line.split(b"\t")[1]))
                if not reply or not reply.startswith(b"OK"):
                    break
        writer.close()


async def serve(path: Path, script: Script) -> asyncio.Server:
    return await asyncio.start_unix_server(script, path)


async def stop(server: asyncio.Server) -> None:
    """Stop a server and let its connections see their end."""
    server.close()
    await server.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)


async def test_a_lost_connection_is_made_again(tmp_path: Path) -> None:
    script = Script(b"OK\tID\tuser=a\n", b"", b"OK\tID\tuser=b\n")
    server = await serve(tmp_path / "s", script)
    client = AuthClient(tmp_path / "s")
    assert (await client.authenticate("PLAIN", b"", no_challenge)).user == "a"
    assert (await client.authenticate("PLAIN", b"", no_challenge)).user == "b", "asked again on a new connection"
    assert script.connections == 2
    await client.close()
    await stop(server)


@pytest.mark.parametrize("reply", [b"", b"OK\tID\n", b"NONSENSE\n"])
async def test_a_server_that_breaks_off_or_talks_nonsense(tmp_path: Path, reply: bytes) -> None:
    server = await serve(tmp_path / "s", Script(reply, reply))
    client = AuthClient(tmp_path / "s")
    with pytest.raises(AuthUnavailable):
        await client.authenticate("PLAIN", b"", no_challenge)
    await client.close()
    await stop(server)


async def test_a_server_that_does_not_greet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.link.CONNECT_TIMEOUT", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(silent, tmp_path / "s")
    with pytest.raises(AuthUnavailable, match="no greeting"):
        await AuthClient(tmp_path / "s").mechanisms()
    await stop(server)


def test_secrets_are_not_in_representations() -> None:
    from auth.client import AuthSuccess, UserFields

    assert "s3cret" not in repr(AuthSuccess("a", {"pass": "s3cret"}))
    assert "s3cret" not in repr(UserFields("a", {"pass": "s3cret"}))
