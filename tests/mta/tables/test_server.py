"""What tables behind servers share: hosts, back-off, kept connections, silence."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from mta.tables import SpecError, TableError, open_table, registry
from mta.tables import server as module
from mta.tables.server import Connection, Host, QueryRefused, ServerGone, ServerTable


class FakeConnection(Connection[str, str]):
    def __init__(self, host: str, script: list[object]) -> None:
        self.host = host
        self.script = script
        self.closed = False

    async def ask(self, request: str) -> str:
        step = self.script.pop(0) if self.script else "answer"
        if isinstance(step, BaseException):
            raise step
        if step == "silence":
            await asyncio.Event().wait()
        return f"{self.host}: {step} to {request}"

    async def aclose(self) -> None:
        self.closed = True


class FakeTable(ServerTable[str, str]):
    """script: per host, what happens to connections (an exception) or what they answer (a list)."""

    def __init__(self, script: dict[str, list[object]]) -> None:
        super().__init__("fake:x", list(script), answer_timeout=0.05)
        self.script = script
        self.made: list[FakeConnection] = []

    async def connect(self, host: str) -> FakeConnection:
        step = self.script[host].pop(0) if self.script[host] else []
        if isinstance(step, BaseException):
            raise step
        assert isinstance(step, list)
        self.made.append(FakeConnection(host, step))
        return self.made[-1]

    async def lookup(self, key: str) -> str | None:
        return await self.ask(key)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves time.monotonic() of the module ahead."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def ahead(seconds: float) -> None:
        now[0] += seconds

    return ahead


async def test_one_connection_is_kept() -> None:
    table = FakeTable({"h": []})
    assert [await table.ask("a"), await table.ask("b")] == ["h: answer to a", "h: answer to b"]
    assert len(table.made) == 1
    await table.aclose()
    assert table.made[0].closed


async def test_an_idle_connection_is_made_again(clock: Callable[[float], None]) -> None:
    table = FakeTable({"h": []})
    await table.ask("a")
    clock(module.IDLE_LIMIT + 1)
    await table.ask("b")
    assert [connection.closed for connection in table.made] == [True, False]


async def test_a_dead_kept_connection_costs_no_lookup() -> None:
    table = FakeTable({"h": [["answer", ServerGone("reset")], []]})
    await table.ask("a")
    assert await table.ask("b") == "h: answer to b"


async def test_a_fresh_connection_that_dies_is_an_error() -> None:
    table = FakeTable({"h": [[EOFError("gone")]]})
    with pytest.raises(TableError, match="gone"):
        await table.ask("a")
    with pytest.raises(TableError, match="a moment ago"):
        await table.ask("a")


async def test_a_refused_question_does_not_hurt_the_connection() -> None:
    table = FakeTable({"h": [[QueryRefused("no such table")]]})
    with pytest.raises(TableError, match="no such table"):
        await table.ask("a")
    assert await table.ask("b") == "h: answer to b"
    assert len(table.made) == 1


async def test_silence_and_cancellation_never_leave_half_an_answer() -> None:
    table = FakeTable({"h": [["silence"], [], []]})
    with pytest.raises(TableError, match="in time"):
        await table.ask("a")
    assert table.made[0].closed
    table = FakeTable({"h": [["answer", "silence"], []]})
    table.answer_timeout = 60
    await table.ask("a")
    task = asyncio.create_task(table.ask("b"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert table.made[0].closed
    assert await table.ask("c") == "h: answer to c"


async def test_the_pause_doubles_up_to_a_minute(clock: Callable[[float], None]) -> None:
    table = FakeTable({"h": [OSError("refused")] * 20})
    tries, now, pauses = len(table.script["h"]), 0.0, list[float]()
    last = 0.0
    for _ in range(400):
        with pytest.raises(TableError):
            await table.ask("a")
        if len(table.script["h"]) < tries:
            tries = len(table.script["h"])
            pauses.append(now - last)
            last = now
        clock(1)
        now += 1
    assert pauses[:8] == [0, 1, 2, 4, 8, 16, 32, 60]
    assert set(pauses[8:]) == {60}


async def test_hosts_on_this_machine_come_first() -> None:
    table = FakeTable({"inet:a": [], "b": [], "unix:/c": []})
    assert await table.ask("x") == "unix:/c: answer to x"
    table = FakeTable({"a": [OSError("down")], "b": []})
    for _ in range(3):
        assert (await table.ask("x")).endswith("answer to x")


@pytest.mark.parametrize(
    "name", ["postgresql://u:secret@h/db", "postgresql://u:se/cret@h/db?password=secret", "ldap://u:secret@h"]
)
def test_passwords_in_uris_stay_out_of_the_log(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert "secret" not in Host(name).label
    assert "cret" not in Host(name).label


@pytest.mark.parametrize(("kind", "extra"), [("pgsql", "postgres"), ("mysql", "mysql"), ("ldap", "ldap")])
def test_a_missing_library_is_a_mistake_in_the_configuration(
    kind: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError("No module named 'driver'", name="driver")

    monkeypatch.setattr(registry, "import_module", absent)
    with pytest.raises(SpecError, match=rf"{kind}: needs the library driver.*hardmail\[{extra}\]"):
        open_table(f"{kind}:/etc/x.cf")
