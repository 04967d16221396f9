"""auth_cache_size: what a SQL passdb has said is remembered, unknown users for their own time, and forgotten on demand."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auth.cache import OVERHEAD, EntryCache
from auth.client import AuthClient, AuthFailed, MasterClient
from auth.databases import Entry, Verdict
from auth.results import Result

if TYPE_CHECKING:
    from .conftest import Running

Start = Callable[..., Awaitable["Running"]]
UNKNOWN = Verdict(Result.UNKNOWN)


def entry(password: str = "{PLAIN}x", *fields: tuple[str, str | None]) -> Entry:
    return Entry(password, fields)


def test_times() -> None:
    now = 0.0
    cache = EntryCache(10_000, 60, 10, clock=lambda: now)
    cache.put("a", "alice", entry())
    cache.put("b", "bob", UNKNOWN)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ((entry(), 60.0), (UNKNOWN, 10.0), None)
    now = 10.0
    assert (cache.get("a"), cache.get("b")) == ((entry(), 60.0), None)
    now = 60.0
    assert cache.get("a") is None


def test_the_oldest_go_first_and_what_is_too_big_is_not_kept() -> None:
    cache = EntryCache(3 * OVERHEAD, 60, 60)
    for name in "abcd":
        cache.put(name, name, entry())
    assert [name for name in "abcd" if cache.get(name)] == ["c", "d"]
    cache.put("d", "d", entry("{PLAIN}" + "x" * 1000))
    assert cache.get("d") is None
    cache.put("c", "c", Verdict(Result.MISMATCH))
    assert cache.get("c") is None


def test_flush() -> None:
    cache = EntryCache(10_000, 60, 60)
    for key, user in (("1", "alice"), ("2", "alice"), ("3", "bob")):
        cache.put(key, user, entry())
    assert cache.flush(["alice", "nobody"]) == 2
    assert cache.get("3") is not None
    assert (cache.flush(), cache.flush()) == (1, 0)
    assert not EntryCache(0, 60, 60).enabled


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(tmp_path / "users.db", isolation_level=None)) as connection:
        connection.executescript(
            "CREATE TABLE users (name, password); INSERT INTO users VALUES ('alice', '{PLAIN}one')"
        )
        yield connection


async def test_a_sql_passdb(start: Start, tmp_path: Path, database: sqlite3.Connection) -> None:
    (tmp_path / "sql.conf").write_text(
        f"driver = sqlite\nconnect = {tmp_path}/users.db\npassword_query = SELECT password FROM users WHERE name = '%u'\n"
    )
    running = await start(
        f"auth_cache_size = 1M\npassdb {{\n driver = sql\n args = {tmp_path}/sql.conf\n}}\n"
        "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
    )
    client, master = AuthClient(running.path("auth-client")), MasterClient(running.path("auth-master"))

    async def challenge(data: bytes) -> bytes:
        raise AssertionError(data)

    async def works(user: str, password: str) -> bool:
        try:
            await client.authenticate("PLAIN", f"\0{user}\0{password}".encode(), challenge)
        except AuthFailed:
            return False
        return True

    assert await works("alice", "one")
    assert not await works("bob", "two")
    database.execute("UPDATE users SET password = '{PLAIN}new'")
    database.execute("INSERT INTO users VALUES ('bob', '{PLAIN}two')")
    assert await works("alice", "one")  # remembered
    assert await works("alice", "new")  # what is remembered does not fit, so the database is asked
    assert not await works("alice", "one")
    assert not await works("bob", "two")  # remembered as unknown
    assert await master.flush_cache("bob") == 1
    assert await works("bob", "two")
    await client.close()
    await master.close()
