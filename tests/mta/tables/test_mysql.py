"""mysql: tables against a real MariaDB server."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mta.tables import SpecError, Table, TableError, open_table
from mta.tables.sql import Query

interop = pytest.mark.interop

QUERY = "query = SELECT target FROM people WHERE address = '%s'"
Make = Callable[..., Table]
AskPostfix = Callable[[str, Sequence[str]], list[str | None]]


@pytest.fixture
def make(mysql_server: Any, tmp_path: Path, opened: Callable[[str], Table]) -> Make:
    """Opens the test database with given settings."""

    def open_with(text: str = QUERY, hosts: str = "") -> Table:
        path = tmp_path / f"table{len(list(tmp_path.iterdir()))}.cf"
        hosts = hosts or f"unix:{mysql_server.socket}"
        path.write_text(f"hosts = {hosts}\nuser = mail\npassword = s3cret 'quoted'\ndbname = mail\n{text}\n")
        return opened(f"mysql:{path}")

    return open_with


KEYS = [
    "a@x.test", "o'hara@x.test", "back\\slash@x.test", 'quo"te@x.test', "jürgen@x.test", "x' OR '1'='1", "nobody",
    "'; DROP TABLE people; --", "?", "%s", "\\", "\\' OR 1=1 -- ",
]  # fmt: skip
VALUES = ["a/,b/", "o/", "bs/", "q/", "jü/", *[None] * 7]


@interop
@pytest.mark.parametrize("table_name", ["people", "latin"])
async def test_keys_are_bound(table_name: str, make: Make, ask_postfix: AskPostfix) -> None:
    table = make(QUERY.replace("people", table_name))
    assert [await table.lookup(key) for key in KEYS] == VALUES
    assert await table.lookup("nul\0") is None
    assert await table.lookup("\udcff@x.test") is None
    pairs = [(key, value) for key, value in zip(KEYS, VALUES, strict=True) if key.isascii()]
    assert ask_postfix(table.name, [key for key, _ in pairs]) == [value for _, value in pairs]


@interop
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("query = SELECT target FROM people WHERE address = '%u@%d'", "a@x.test"),
        ("query = SELECT target FROM people WHERE address = '%u@%d'", "a"),
        ('query = SELECT target FROM people WHERE address = "%s"', "o'hara@x.test"),
        ("query = SELECT target FROM people WHERE address LIKE '%u%%'", "a"),
        ("query = SELECT concat('%1-%2', active) FROM people WHERE address = '%s' LIMIT 1", "a@x.test"),
        ("query = SELECT '%3' FROM people", "a@x.test"),
        ("query = SELECT active, 1.50, NULL, '' FROM people WHERE address = '%s'", "a@x.test"),
        ("query = SELECT 'it\\'s %u'", "a@x.test"),
        (f"{QUERY}\nresult_format = /mail/%D/%U/%s", "a@x.test"),
        (f"{QUERY}\ndomain = y.test", "a@x.test"),
        (f"{QUERY}\ndomain = y.test, x.test", "a@x.test"),
        ("query = CALL find_person('%s')", "a@x.test"),
        ("query = CALL nothing('%s')\nrequire_result_set = no", "a@x.test"),
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
    found = await table.lookup(key)
    assert found == ask_postfix(table.name, [key])[0]
    assert await table.lookup(key) == found


@interop
async def test_over_tcp_and_by_option_file(make: Make, mysql_server: Any, tmp_path: Path) -> None:
    assert await make(hosts=f"127.0.0.1:1 inet:127.0.0.1:{mysql_server.port}").lookup("o'hara@x.test") == "o/"
    options = tmp_path / "my.cnf"
    options.write_text("[lookup]\nuser = mail\npassword = \"s3cret 'quoted'\"\n")
    text = f"{QUERY}\nuser =\npassword =\noption_file = {options}\noption_group = lookup"
    assert await make(text).lookup("o'hara@x.test") == "o/"


@interop
async def test_tls(make: Make, mysql_server: Any) -> None:
    host = f"127.0.0.1:{mysql_server.tls_port}"
    query = "query = SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_version'"
    trusted = f"{query}\ntls_CAfile = {mysql_server.ca_file}\ntls_verify_cert = yes"
    assert await make(trusted, host).lookup("x") == "TLSv1.3"
    # Without settings it is taken where the server offers it, unverified, as MySQL's own library does.
    assert await make(query, host).lookup("x") == "TLSv1.3"
    with pytest.raises(TableError, match="no server can be reached"):
        await make(f"{query}\ntls_CAfile = /etc/ssl/certs/ca-certificates.crt", host).lookup("x")


@interop
async def test_a_query_the_server_refuses(make: Make) -> None:
    for text, complaint in [
        ("query = SELECT nothing FROM nowhere WHERE x = '%s'", "nowhere"),
        ("query = CALL nothing('%s')", "no result set"),
        ("query = INSERT INTO people VALUES ('%s', 'x', 1)", "denied"),
        (f"{QUERY}\nexpansion_limit = 1", "expansion limit"),
    ]:
        table = make(text)
        for _ in range(2):
            with pytest.raises(TableError, match=complaint):
                await table.lookup("a@x.test")


@interop
async def test_a_lost_connection_is_made_again(make: Make, mysql_server: Any) -> None:
    table = make()
    assert await table.lookup("o'hara@x.test") == "o/"
    found = mysql_server.run("SELECT id FROM information_schema.processlist WHERE user = 'mail';").split()
    assert found
    for number in found:
        mysql_server.run(f"KILL {number};")
    assert await table.lookup("o'hara@x.test") == "o/"


@interop
async def test_many_questions_at_once(make: Make) -> None:
    table = make()
    found = await asyncio.gather(*(table.lookup("a@x.test" if n % 2 else "o'hara@x.test") for n in range(50)))
    assert found == ["a/,b/" if n % 2 else "o/" for n in range(50)]


@interop
async def test_a_wrong_password(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TableError, match="no server can be reached"):
        await make(f"{QUERY}\npassword = wrongsecret").lookup("a")
    assert "Access denied" in caplog.text
    assert "wrongsecret" not in caplog.text


async def test_a_server_that_is_down(tmp_path: Path) -> None:
    path = tmp_path / "table.cf"
    path.write_text(f"hosts = unix:{tmp_path}/nothing\n{QUERY}\n")
    table = open_table(f"mysql:{path}")
    with pytest.raises(TableError, match="no server can be reached"):
        await table.lookup("a")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no query"),
        ("query = SELECT '%x'", "invalid query template"),
        (f"{QUERY}\nrequire_result_set = perhaps", "bad require_result_set"),
        (f"{QUERY}\ntls_CAfile = /nonexistent", "nonexistent"),
    ],
)
def test_mistakes_in_the_settings(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "table.cf"
    path.write_text(f"{text}\n")
    with pytest.raises(SpecError, match=complaint):
        open_table(f"mysql:{path}")


@pytest.mark.parametrize(
    ("template", "text", "values"),
    [
        ('SELECT a FROM b WHERE c="%s"', "SELECT a FROM b WHERE c=?", ["k@d"]),
        (r"SELECT 'it\'s %u', 'plain\'', \"%d\"", None, None),
        (r"SELECT 'it\'s %u', 'plain\''", r"SELECT ?, 'plain\''", ["it's k"]),
        (r"SELECT '\\%u' '' '%d'", "SELECT ? '' ?", ["\\k", "d"]),
    ],
)
def test_literals_of_mysql(template: str, text: str | None, values: list[str] | None) -> None:
    query = Query.parse(template, mysql=True)
    if text is not None:
        assert query.text == text
        assert query.values("k@d") == values
