"""pgsql: tables against a real PostgreSQL server."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mta.tables import SpecError, Table, TableError, open_table

pytestmark = pytest.mark.interop

QUERY = "query = SELECT target FROM people WHERE address = '%s'"
Make = Callable[..., Table]
AskPostfix = Callable[[str, Sequence[str]], list[str | None]]


@pytest.fixture
def make(pgsql_server: Any, tmp_path: Path, opened: Callable[[str], Table]) -> Make:
    """Opens the test database with given settings."""

    def open_with(text: str = QUERY, hosts: str = "") -> Table:
        path = tmp_path / f"table{len(list(tmp_path.iterdir()))}.cf"
        hosts = hosts or f"inet:127.0.0.1:{pgsql_server.port}"
        path.write_text(f"hosts = {hosts}\nuser = mail\npassword = s3cret 'quoted'\ndbname = postgres\n{text}\n")
        return opened(f"pgsql:{path}")

    return open_with


KEYS = [
    "a@x.test", "o'hara@x.test", "back\\slash@x.test", 'quo"te@x.test', "jürgen@x.test", "x' OR '1'='1", "nobody",
    "'; DROP TABLE people; --", "$1", "%s", "@x.test",
]  # fmt: skip
VALUES = ["a/,b/", "o/", "bs/", "q/", "jü/", *[None] * 6]


async def test_keys_are_bound(make: Make, ask_postfix: AskPostfix) -> None:
    table = make()
    assert [await table.lookup(key) for key in KEYS] == VALUES
    assert await table.lookup("nul\0") is None
    assert await table.lookup("\udcff@x.test") is None
    # Postfix 3.7 tells the server that its UTF-8 is Latin-1, so it misses what is not ASCII; 3.8 mended that, as we do.
    expected = [value if key.isascii() else None for key, value in zip(KEYS, VALUES, strict=True)]
    assert ask_postfix(table.name, KEYS) == expected


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("query = SELECT target FROM people WHERE address = '%u@%d'", "a@x.test"),
        ("query = SELECT target FROM people WHERE address = '%u@%d'", "a"),
        ("query = SELECT target FROM people WHERE address LIKE '%u%%'", "a"),
        ("query = SELECT '%1-%2' || active || n FROM people WHERE address = '%s' LIMIT 1", "a@x.test"),
        ("query = SELECT '%3' FROM people", "a@x.test"),
        ("query = SELECT active, n, NULL, '' FROM people WHERE address = '%s'", "a@x.test"),
        (f"{QUERY}\nresult_format = /mail/%D/%U/%s", "a@x.test"),
        (f"{QUERY}\nresult_format = %d", "a@x.test"),
        (f"{QUERY}\ndomain = y.test", "a@x.test"),
        (f"{QUERY}\ndomain = y.test, X.test", "a@x.test"),
        (f"{QUERY}\ndomain = inline:{{x.test=yes}}", "a@x.test"),
        ("query = SELECT target FROM people WHERE n = 7 AND address = '%S' AND '%D' = 'x.test'", "a@x.test"),
        ("select_function = upper", "a@x.test"),
        (
            "table = people\nselect_field = target\nwhere_field = address\nadditional_conditions = AND active",
            "a@x.test",
        ),
    ],
)
async def test_templates_mean_what_they_mean_to_postfix(
    text: str, key: str, make: Make, ask_postfix: AskPostfix
) -> None:
    table = make(text)
    assert await table.lookup(key) == ask_postfix(table.name, [key])[0]


async def test_unix_socket_and_uri(make: Make, pgsql_server: Any) -> None:
    uri = f"postgresql://mail:s3cret%20%27quoted%27@127.0.0.1:{pgsql_server.port}/postgres"
    assert await make(hosts=uri).lookup("o'hara@x.test") == "o/"
    link = Path(pgsql_server.socket, ".s.PGSQL.5432")
    link.symlink_to(f".s.PGSQL.{pgsql_server.port}")
    try:
        assert await make(hosts=f"unix:{pgsql_server.socket}").lookup("o'hara@x.test") == "o/"
    finally:
        link.unlink()


async def test_a_query_the_server_refuses(make: Make) -> None:
    table = make("query = SELECT nothing FROM nowhere WHERE x = '%s'")
    with pytest.raises(TableError, match="nowhere"):
        await table.lookup("a")
    # The server itself is well: no pause before the next question.
    with pytest.raises(TableError, match="nowhere"):
        await table.lookup("a")
    with pytest.raises(TableError, match="expansion limit"):
        await make(f"{QUERY}\nexpansion_limit = 1").lookup("a@x.test")


async def test_a_lost_connection_is_made_again(make: Make, pgsql_server: Any) -> None:
    table = make()
    assert await table.lookup("o'hara@x.test") == "o/"
    pgsql_server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hardmail';")
    assert await table.lookup("o'hara@x.test") == "o/"


async def test_many_questions_at_once(make: Make) -> None:
    table = make()
    found = await asyncio.gather(*(table.lookup("a@x.test" if n % 2 else "o'hara@x.test") for n in range(50)))
    assert found == ["a/,b/" if n % 2 else "o/" for n in range(50)]


async def test_hosts_that_are_down(make: Make, pgsql_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert await make(hosts=f"127.0.0.1:1 127.0.0.1:{pgsql_server.port}").lookup("o'hara@x.test") == "o/"
    down = make(hosts="postgresql://mail:topsecret@127.0.0.1:1/postgres")
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(TableError, match="no server can be reached"):
            await down.lookup("a")
        with pytest.raises(TableError, match="failed a moment ago"):
            await down.lookup("a")
    assert "127.0.0.1:1" in caplog.text
    assert "topsecret" not in caplog.text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no query"),
        ("query = SELECT '%x'", "invalid query template"),
        (f"{QUERY}\nresult_format = %", "invalid result_format template"),
        (f"{QUERY}\nexpansion_limit = many", "bad expansion_limit"),
        (f"{QUERY}\ndomain = nosuch:x", "unsupported dictionary type"),
        ("rubbish", "missing '='"),
    ],
)
def test_mistakes_in_the_settings(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "table.cf"
    path.write_text(f"{text}\n")
    with pytest.raises(SpecError, match=complaint):
        open_table(f"pgsql:{path}")
