"""What goes into a query: SQL pieces and values, LDAP filters and attribute lists, and the files they stand in."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sansldap import FilterAnd, FilterEquality, LDAPFilter

from auth import variables
from auth.cyrus import backends
from auth.databases import BadArguments
from auth.databases.extfile import flat, settings, yes
from auth.databases.ldap import LdapPassdb, LdapSource, escape
from auth.databases.ldap.attributes import Attributes, Field, attributes_of
from auth.databases.ldap.session import Found
from auth.databases.sql import SqlSource
from auth.databases.sql.query import Bind, Query
from auth.protocol import Parameters
from auth.request import AuthRequest
from auth.settings import AuthSettings

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("SELECT 1", ("SELECT 1",)),
        ("a = '%u'", ("a = ", Bind("%u"), "")),
        ("a = '%n@%d' AND b = 'it''s %n'", ("a = ", Bind("%n@%d"), " AND b = ", Bind("it's %n"), "")),
        ("a LIKE '%%%Ln%%'", ("a LIKE ", Bind("%%%Ln%%"), "")),
        ("n = %{lport} % 100", ("n = ", Bind("%{lport}"), " ", Bind("% "), "100")),
        ("n %% 2, 'x', 'y'", ("n ", "%", " 2, ", "'x'", ", ", "'y'", "")),
    ],
)
def test_pieces_of_a_query(template: str, parts: tuple[str | Bind, ...]) -> None:
    assert Query.parse(template).parts == parts


def test_mysql_strings() -> None:
    assert Query.parse(r"""a = 'o\'%u' OR b = "%d" """, mysql=True).parts == (
        "a = ",
        Bind("o'%u"),
        " OR b = ",
        Bind("%d"),
        " ",
    )


@given(NAMES)
def test_a_name_is_only_ever_a_value(name: str) -> None:
    query = Query.parse("SELECT '%u', 'x%ux' WHERE 1 = 1")
    values = query.values(lambda text: variables.expand(text, {"u": name}.get))
    with sqlite3.connect(":memory:") as database:
        assert database.execute(query.text(lambda n: "?"), values).fetchall() == [(name, f"x{name}x")]
    database.close()


@given(NAMES)
def test_a_name_does_not_change_a_filter(name: str) -> None:
    filled = variables.expand("(&(uid=%u)(a=b))", {"u": name}.get, escape)
    parsed = LDAPFilter.from_string(filled)
    assert isinstance(parsed, FilterAnd)
    if name:
        first = parsed.filters[0]
        assert isinstance(first, FilterEquality) and first.value == name.encode()


def test_attribute_lists() -> None:
    parsed = Attributes.parse("uid=user, userPassword=password,=home=/home/%{ldap:uid}, mail=mail=maildir:,quota, =x=1")
    assert parsed.fields == (
        Field("uid", "user"),
        Field("userPassword", "password"),
        Field("", "home", "/home/%{ldap:uid}"),
        Field("mail", "mail", "maildir:%$"),
        Field("quota", "quota"),
        Field("", "x", "1%$"),
    )
    assert parsed.wanted == ("uid", "userPassword", "mail", "quota")
    with pytest.raises(BadArguments):
        Attributes.parse("=")


def test_sub_queries_of_an_ldap_entry() -> None:
    parsed = Attributes.parse(
        "seeAlso=@one,@two=cn=%u,=@three=,mail@ONE=mail,=x=%{ldap:cn@two:none}%{ldap_ptr:kind@one}"
    )
    assert parsed.wanted == ("seeAlso",)
    assert [(field.name, wanted) for field, wanted in parsed.pointers] == [
        ("one", ("kind",)),
        ("two", ("cn",)),
        ("three", ()),
    ]
    request = AuthRequest(cast("AuthSettings", None), Parameters())
    request.user = "alice"
    entry = Found("cn=alice", {"seeAlso": ("cn=boss", "cn=other")})
    assert list(parsed.pointed(entry, request)) == [("one", "cn=boss", ("kind",)), ("two", "cn=alice", ("cn",))]
    of_one = Found("cn=boss", {"mail": ("m",), "Kind": ("mail",)})
    whole = Found("cn=alice", {**entry.attributes, **attributes_of(of_one, "one")})
    assert list(parsed.of(whole, request)) == [("mail", ("m",)), ("x", ("nonem",))]


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.conf.ext"
    path.write_text("# comment\na = 1\\\n  2\nb = 'quoted # text' # more\nkey one {\n  format = json\n}\n")
    assert list(settings(path)) == [
        (("", ""), "a", "1 2", 3),
        (("", ""), "b", "quoted # text", 4),
        (("key", "one"), "format", "json", 6),
    ]
    with pytest.raises(BadArguments, match="line 6: Unknown setting: format"):
        flat(path, {"a": "", "b": ""})
    with pytest.raises(BadArguments, match="use yes or no"):
        yes({"tls": "perhaps"}, "tls", path)
    with pytest.raises(BadArguments, match="No such file"):
        flat(tmp_path / "none", {})
    path.write_text("what is this\n")
    with pytest.raises(BadArguments, match="line 1: Expecting"):
        flat(path, {})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("connect = /x\n", "driver not set"),
        ("driver = sqlite\n", "connect string not set|connect not set"),
        ("driver = oracle\nconnect = x\n", "Unknown database driver 'oracle'"),
        ("driver = mysql\nconnect = host=x what=1\n", "Unknown connect string: what"),
        ("driver = pgsql\nconnect = host=x maxconns=many\n", "Invalid maxconns"),
        ("driver = pgsql\nconnect = nonsense\n", "Missing value in connect string: nonsense"),
        ("nosuch = 1\n", "Unknown setting: nosuch"),
        ("driver = sqlite\nconnect = x\npassword_query = SELECT '%w'\n", "may not contain the password"),
    ],
)
def test_sql_settings_that_cannot_be(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "sql").write_text(text)
    with pytest.raises(BadArguments, match=error):
        SqlSource(str(tmp_path / "sql"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("hosts = x\n", "No base given"),
        ("base = x\n", "No uris or hosts set"),
        ("base = x\nhosts = x\nscope = all\n", "Unknown scope option 'all'"),
        ("base = x\nhosts = x\nderef = often\n", "Unknown deref option"),
        ("base = x\nhosts = x\ntls_require_cert = maybe\n", "Unknown tls_require_cert"),
        ("base = x\nhosts = x\nsasl_bind = yes\nsasl_mech = GSSAPI\n", "EXTERNAL and PLAIN"),
        ("base = x\nhosts = x\ntls_ca_cert_file = /nonexistent/ca\n", "No such file"),
    ],
)
def test_ldap_settings_that_cannot_be(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "ldap").write_text(text)
    with pytest.raises(BadArguments, match=error):
        LdapSource(str(tmp_path / "ldap"))


def test_an_ldap_answer_is_remembered_for_what_it_depends_on(tmp_path: Path) -> None:
    (tmp_path / "ldap").write_text(
        "base = dc=%d\nhosts = x\npass_filter = (uid=%n)\npass_attrs = mail=mail=%{rip}:%$\n"
    )
    passdb = LdapPassdb(LdapSource(str(tmp_path / "ldap")))
    settings = backends.settings([])

    def key(user: str, rip: str) -> str | None:
        request = AuthRequest(settings, Parameters(service="imap", rip=rip))
        request.set_user(user)
        return passdb.cache_key(request)

    assert key("alice@x.test", "10.0.0.1") == "x.test\0alice\x0010.0.0.1"
    assert key("alice@x.test", "10.0.0.2") != key("alice@x.test", "10.0.0.1")
