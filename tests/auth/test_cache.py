"""auth_cache_size: what a SQL passdb has said is remembered, unknown users for their own time, and forgotten on demand."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auth.authenticator import Authenticator
from auth.cache import OVERHEAD, EntryCache
from auth.client import AuthClient, AuthFailed, MasterClient
from auth.databases import DatabaseError, Databases, Entry, PassDatabase, Verdict
from auth.dovecotconf import DovecotConfig
from auth.hashing import FairPool, Hasher, Remembered
from auth.protocol import Parameters
from auth.request import AuthRequest
from auth.results import Result
from auth.settings import AuthSettings

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
    a, b = cache.get("a"), cache.get("b")
    assert a is not None and b is not None and cache.get("c") is None
    assert (a.answer, b.answer) == (entry(), UNKNOWN)
    assert (cache.holds(a), cache.holds(b), cache.trusts(a)) == (True, True, True)
    a.succeeded = True
    assert not cache.trusts(a)
    a.succeeded = False
    now = 10.0
    assert (cache.holds(a), cache.holds(b), cache.trusts(a)) == (True, False, False)
    now = 60.0
    assert not cache.holds(a)


def test_the_oldest_go_first_and_what_is_too_big_is_not_kept() -> None:
    cache = EntryCache(3 * OVERHEAD, 60, 60)
    for name in "abcd":
        cache.put(name, name, entry())
    assert [name for name in "abcd" if cache.get(name)] == ["c", "d"]
    cache.put("d", "d", entry("{PLAIN}" + "x" * 1000))
    assert cache.get("d") is None
    known = cache.get("c")
    assert known is not None and cache.put("c", "c", Verdict(Result.MISMATCH)) is known
    assert cache.put("e", "e", Verdict(Result.MISMATCH)) is None


def test_flush() -> None:
    cache = EntryCache(10_000, 60, 60)
    for key, user in (("1", "alice"), ("2", "alice"), ("3", "bob")):
        cache.put(key, user, entry())
    assert cache.flush(["alice", "nobody"]) == 2
    assert cache.get("3") is not None
    assert (cache.flush(), cache.flush()) == (1, 0)
    assert not EntryCache(0, 60, 60).enabled


class Judge(PassDatabase):
    """A passdb that says of passwords whether they are right, as PAM does; ``right`` None: it cannot be asked."""

    driver = "pam"
    verifies = True

    def __init__(self) -> None:
        super().__init__("PLAIN")
        self.right: bytes | None = b"one"
        self.asked = 0

    def cache_key(self, request: AuthRequest) -> str | None:
        return request.user

    async def verify(self, request: AuthRequest, password: bytes) -> Verdict:
        self.asked += 1
        if self.right is None:
            raise DatabaseError("gone")
        return Verdict(Result.OK if password == self.right else Result.MISMATCH, [("mood", "good")])


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    judge = Judge()
    monkeypatch.setattr(Databases, "passdb", lambda self, driver, args: judge)
    return judge


def authenticator_of(write: Callable[[str], Path], *more: str) -> Authenticator:
    text = "\n".join(("auth_cache_size = 1M", "passdb {", "  driver = pam", "}", *more))
    settings = AuthSettings.of(DovecotConfig.load(write(text + "\n")))
    return Authenticator(settings, Hasher(FairPool(1), Remembered(0, 0)))


async def log_in(authenticator: Authenticator, password: bytes, *, verified: bool = False) -> Result:
    request = AuthRequest(authenticator.settings, Parameters(), "PLAIN")
    request.set_user("alice")
    request.password_verified = verified
    result = await authenticator.verify(request, password)
    assert result is not Result.OK or request.extra.get("mood") == "good"
    return result


async def test_a_password_that_a_passdb_has_found_right_is_remembered(
    write: Callable[[str], Path], judge: Judge
) -> None:
    authenticator = authenticator_of(write)
    assert [await log_in(authenticator, b"one") for _ in range(2)] == [Result.OK] * 2
    assert judge.asked == 1
    judge.right = b"two"
    assert await log_in(authenticator, b"two") is Result.OK  # another one: has it changed?
    assert await log_in(authenticator, b"one") is Result.MISMATCH
    assert judge.asked == 3


async def test_nothing_is_remembered_of_passwords_that_were_not_looked_at(
    write: Callable[[str], Path], judge: Judge
) -> None:
    authenticator, judge.right = authenticator_of(write), b""
    assert await log_in(authenticator, b"", verified=True) is Result.OK
    judge.right = b"one"
    assert await log_in(authenticator, b"") is Result.MISMATCH


async def test_what_has_expired_serves_while_the_database_is_gone(
    write: Callable[[str], Path], judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = authenticator_of(write, "auth_cache_negative_ttl = 0")
    assert await log_in(authenticator, b"one") is Result.OK
    judge.right = None
    monkeypatch.setattr(authenticator.cache, "holds", lambda kept: False)
    assert await log_in(authenticator, b"one") is Result.OK
    assert await log_in(authenticator, b"two") is Result.INTERNAL  # it may have become that meanwhile
    authenticator.flush([])
    assert await log_in(authenticator, b"one") is Result.INTERNAL


async def test_a_userdb_is_asked_once(start: Start, tmp_path: Path, database: sqlite3.Connection) -> None:
    (tmp_path / "sql.conf").write_text(
        f"driver = sqlite\nconnect = {tmp_path}/users.db\nuser_query = SELECT 7 AS uid, name AS home FROM users "
        "WHERE name = '%u'\n"
    )
    blocks = "".join(f"{kind} {{\n driver = sql\n args = {tmp_path}/sql.conf\n}}\n" for kind in ("passdb", "userdb"))
    running = await start(f"auth_cache_size = 1M\n{blocks}")
    master = MasterClient(running.path("auth-userdb"))

    async def home(user: str) -> str | None:
        found = await master.user(user, Parameters(service="x"))
        return None if found is None else found.fields["home"]

    assert (await home("alice"), await home("bob")) == ("alice", None)
    database.execute("INSERT INTO users VALUES ('bob', '')")
    database.execute("DELETE FROM users WHERE name = 'alice'")
    assert (await home("alice"), await home("bob")) == ("alice", None)
    await master.close()


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
