"""Query templates: what each letter stands for, and that no key can become part of a query."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tables import SpecError
from mta.tables.expansion import check_template, expansions, fill, split_key
from mta.tables.sql import Query

KEY = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.from_regex(r"[a-z'\"\\%]{0,6}@[a-z]{0,5}(\.[a-z]{0,5}){0,10}", fullmatch=True),
)
TEMPLATE = st.lists(
    st.sampled_from([*(f"%{c}" for c in "sudSUD123456789%"), "a", "'", "''", '"', "\\", "?", "$1", " ", "--"]),
    max_size=12,
).map("".join)


@pytest.mark.parametrize(
    ("template", "key", "found"),
    [
        ("%s|%u|%d", "user@mail.example.com", "user@mail.example.com|user|mail.example.com"),
        ("%S|%U|%D", "user@mail.example.com", "user@mail.example.com|user|mail.example.com"),
        ("%1.%2.%3", "user@mail.example.com", "com.example.mail"),
        ("%4", "user@mail.example.com", None),
        ("%1", "example.com", None),
        ("%u", "bare", "bare"),
        ("%d", "bare", None),
        ("%u", "@example.com", None),
        ("%d", "@example.com", "example.com"),
        ("%d", "user@", None),
        ("%u|%d", "a@b@c", "a@b|c"),
        ("100%%", "x", "100%"),
        ("%%s", "x", "%s"),
        ("%s", "%u@%d", "%u@%d"),
    ],
)
def test_letters(template: str, key: str, found: str | None) -> None:
    assert fill(template, key, key) == found


def test_results_and_keys() -> None:
    assert fill("%s %u %d / %S %U %D %1", "r@s.t", "k@l.m") == "r@s.t r s.t / k@l.m k l.m m"
    assert fill("%d", "unqualified", "k@l.m") is None


@given(st.text(max_size=20))
def test_templates_are_right_or_refused(template: str) -> None:
    try:
        check_template(template, "query")
    except SpecError:
        return
    fill(template, "a@b.c", "a@b.c")
    Query.parse(template)
    Query.parse(template, mysql=True)


@given(TEMPLATE, KEY)
def test_filling_is_done_once(template: str, key: str) -> None:
    """What is filled in is not looked at again: a key with percent signs stays a key."""
    marked = fill(template, key, key, lambda text: f"\0{len(text)}\0")
    plain = fill(template, key, key)
    assert (marked is None) == (plain is None)
    if marked is not None:
        assert marked.count("\0") % 2 == 0


@given(TEMPLATE, KEY, st.booleans())
def test_the_text_of_a_query_does_not_depend_on_the_key(template: str, key: str, mysql: bool) -> None:
    query = Query.parse(template, lambda n: f"<{n}>", mysql=mysql)
    before = query.text
    values = query.values(key)
    assert query.text == before
    assert values is None or len(values) == len(query.parameters) == before.count("<")


@given(KEY.filter(lambda key: "\0" not in key))
def test_a_database_sees_the_key_and_nothing_else(key: str) -> None:
    query = Query.parse("SELECT '%s', %s, 'x' || '%u' || '''', 'it''s', '%%' WHERE '%s' = %s")
    values = query.values(key)
    if values is None:
        assert not key.rpartition("@")[0]
        return
    connection = sqlite3.connect(":memory:")
    try:
        rows = connection.execute(query.text, values).fetchall()
    finally:
        connection.close()
    assert rows == [(key, key, f"x{expansions(key, key)['u']}'", "it's", "%")]


@given(KEY)
def test_keys_split_at_the_last_at(key: str) -> None:
    local, domain = split_key(key)
    assert key == (f"{local}@{domain}" if "@" in key else local)
    assert "@" not in domain
