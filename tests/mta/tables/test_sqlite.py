"""sqlite: tables and their query templates."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tables import SpecError, Table, TableError, open_table
from mta.tables.expansion import fill
from mta.tables.sql import Query


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "users.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (address TEXT, mailbox TEXT, active INTEGER)")
        connection.executemany(
            "INSERT INTO users VALUES (?, ?, ?)",
            [("a@x.test", "a/", 1), ("a@x.test", "b/", 1), ("o'hara@x.test", "o/", 1), ("off@x.test", "off/", 0)],
        )
    connection.close()
    return path


Make = Callable[[str], Table]


@pytest.fixture
async def make(database: Path) -> AsyncIterator[Make]:
    """Opens the test database with given settings; closed at the end."""
    opened = list[Table]()

    def open_with(text: str) -> Table:
        path = database.with_name("table.cf")
        path.write_text(f"dbpath = {database}\n{text}\n")
        opened.append(open_table(f"sqlite:{path}"))
        return opened[-1]

    yield open_with
    for table in opened:
        await table.aclose()


async def test_rows_are_joined_and_keys_are_bound(make: Make) -> None:
    table = make("query = SELECT mailbox FROM users WHERE address = '%s' AND active = 1")
    asked = ["a@x.test", "o'hara@x.test", "off@x.test", "x' OR '1'='1", "'; DROP TABLE users; --"]
    assert [await table.lookup(key) for key in asked] == ["a/,b/", "o/", None, None, None]
    assert await table.lookup("a@x.test") == "a/,b/"


async def test_parts_of_the_key(make: Make) -> None:
    table = make("query = SELECT mailbox FROM users WHERE address = '%u@%d' AND '%2' = 'x'")
    assert await table.lookup("a@x.test") == "a/,b/"
    assert await table.lookup("a") is None
    assert await table.lookup("@x.test") is None


async def test_result_format_limit_and_domain(make: Make) -> None:
    query = "query = SELECT mailbox FROM users WHERE address = '%s'"
    assert await make(f"{query}\nresult_format = /mail/%D/%U/%s").lookup("off@x.test") == "/mail/x.test/off/off/"
    with pytest.raises(TableError, match="expansion limit"):
        await make(f"{query}\nexpansion_limit = 1").lookup("a@x.test")
    assert await make(f"{query}\ndomain = y.test").lookup("a@x.test") is None
    assert await make(f"{query}\ndomain = y.test, x.test").lookup("off@x.test") == "off/"


async def test_the_older_settings(make: Make) -> None:
    table = make("table = users\nselect_field = mailbox\nwhere_field = address\nadditional_conditions = AND active = 1")
    assert await table.lookup("o'hara@x.test") == "o/"
    assert await table.lookup("off@x.test") is None


async def test_a_broken_database_is_temporary(make: Make) -> None:
    with pytest.raises(TableError):
        await make("query = SELECT nothing FROM nowhere").lookup("a")
    with pytest.raises(TableError):
        await make("query = DELETE FROM users WHERE address = '%s'").lookup("a@x.test")
    with pytest.raises(TableError):
        await open_table("sqlite:/nonexistent").lookup("a")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no query"),
        ("query = SELECT '%x'", "invalid query template"),
        ("query = SELECT 1\nresult_format = %", "invalid result_format template"),
        ("query = SELECT 1\nexpansion_limit = -1", "bad expansion_limit"),
        ("rubbish", "line 2: missing '='"),
    ],
)
async def test_mistakes_in_the_settings(text: str, complaint: str, make: Make) -> None:
    with pytest.raises(SpecError, match=complaint):
        make(text)


def test_templates_become_parameters() -> None:
    query = Query.parse("SELECT x FROM t WHERE a='%u' AND b LIKE '%%%d' AND c=%s AND d='it''s'", lambda n: f"${n}")
    assert query.text == "SELECT x FROM t WHERE a=$1 AND b LIKE $2 AND c=$3 AND d='it''s'"
    assert query.values("me@example.com") == ["me", "%example.com", "me@example.com"]
    assert query.values("me") is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_keys_never_reach_the_text(template: str, key: str) -> None:
    try:
        query = Query.parse(template)
    except SpecError:
        return
    again = Query.parse(template)
    query.values(key)
    assert query == again
    assert fill("%%", key, key) == "%"
