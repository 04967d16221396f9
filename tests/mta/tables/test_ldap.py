"""ldap: tables against a real OpenLDAP server, and the filters sent to it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tables import SpecError, Table, TableError, open_table
from mta.tables.expansion import fill
from mta.tables.ldap import quote_name
from mta.tables.ldapclient import bind_filter, parse_filter

interop = pytest.mark.interop

ROOT = "dc=x,dc=test"
Make = Callable[..., Table]
AskPostfix = Callable[[str, Sequence[str]], list[str | None]]


@pytest.fixture
def make(ldap_server: Any, tmp_path: Path, opened: Callable[[str], Table]) -> Make:
    """Opens the test directory with given settings."""

    def open_with(text: str = "query_filter = (mail=%s)", hosts: str = "") -> Table:
        path = tmp_path / f"table{len(list(tmp_path.iterdir()))}.cf"
        hosts = hosts or f"ldap://127.0.0.1:{ldap_server.port}"
        base = "" if "search_base" in text else f"search_base = {ROOT}\n"
        path.write_text(
            f"server_host = {hosts}\nversion = 3\nbind = yes\nbind_dn = cn=admin,{ROOT}\nbind_pw = s3cret 'quoted'\n"
            f"result_attribute = labeledURI\n{base}{text}\n"
        )
        return opened(f"ldap:{path}")

    return open_with


KEYS = [
    "a@x.test", "o'hara@x.test", "back\\slash@x.test", 'quo"te@x.test', "jürgen@x.test", "star*@x.test",
    "par(en)@x.test", "comma,plus+@x.test", "*", "a*", "x)(|(mail=*)", "\\2a", "nobody", "a)(objectClass=*",
]  # fmt: skip
VALUES = ["a/,b/", "o/", "bs/", "q/", "jü/", "star/", "par/", "cp/", *[None] * 6]


@interop
@pytest.mark.parametrize(
    "text",
    [
        "query_filter = (|(mail=%s)(cn=%s))",
        "query_filter = (&(objectClass=*)(|(mail=%s)(cn=%s)))",
        f"query_filter = (objectClass=*)\nscope = base\nsearch_base = cn=%s,{ROOT}",
    ],
)
async def test_keys_are_values(text: str, make: Make, ask_postfix: AskPostfix) -> None:
    table = make(text)
    assert [await table.lookup(key) for key in KEYS] == VALUES
    assert await table.lookup("nul\0") is None
    assert await table.lookup("\udcff@x.test") is None
    assert ask_postfix(table.name, KEYS) == VALUES


@interop
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("query_filter = (mail=%u@%d)", "a@x.test"),
        ("query_filter = (mail=%u@%d)", "a"),
        ("query_filter = (mail=%u*)", "a@y.test"),
        ("query_filter = mail=%s", "a@x.test"),
        ("query_filter = (mail=%s)\nresult_format = /mail/%D/%U/%s", "a@x.test"),
        ("query_filter = (mail=%s)\nresult_format = %1:%2:%s", "a@x.test"),
        ("query_filter = (mail=%s)\nresult_filter = <%s>", "a@x.test"),
        ("query_filter = (mail=%s)\nresult_format = %d", "a@x.test"),
        ("query_filter = (mail=%s)\ndomain = y.test", "a@x.test"),
        ("query_filter = (mail=%s)\ndomain = y.test x.test", "a@x.test"),
        ("query_filter = (mail=%s)\nsearch_base = ou=nowhere,dc=%2,dc=%1", "a@x.test"),
        ("query_filter = (mail=%s)\nsearch_base = dc=%2,dc=%1", "a@x.test"),
        ("query_filter = (mail=%s)\nscope = one\nresult_attribute = cn, mail", "a@x.test"),
        ("query_filter = (mail=%s)\nresult_attribute = mail\nspecial_result_attribute = member", "list@x.test"),
        ("query_filter = (mail=%s)\nresult_attribute =\nleaf_result_attribute = labeledURI, mail\n"
         "special_result_attribute = member", "list@x.test"),
        ("query_filter = (mail=%s)\nspecial_result_attribute = description", "url@x.test"),
        ("query_filter = (mail=%s)\nterminal_result_attribute = l", "d@x.test"),
    ],
)  # fmt: skip
async def test_settings_mean_what_they_mean_to_postfix(
    text: str, key: str, make: Make, ask_postfix: AskPostfix
) -> None:
    table = make(text)
    assert await table.lookup(key) == ask_postfix(table.name, [key])[0]


@interop
async def test_errors_are_temporary(make: Make) -> None:
    for text, key in [
        ("query_filter = (mail=%s)\nexpansion_limit = 1", "a@x.test"),
        ("query_filter = (objectClass=*)\nsize_limit = 1", "a@x.test"),
        ("query_filter = (mail=%s)\nspecial_result_attribute = member\nrecursion_limit = 5", "loop@x.test"),
        ("query_filter = (mail=%s)\nsearch_base = dc=nowhere", "a@x.test"),
        ("query_filter = (mail=%s)\nbind_pw = wrong", "a@x.test"),
        ("query_filter = (mail=%s)\nbind = no", "a@x.test"),  # to others the tree is not there
    ]:
        table = make(text)
        for _ in range(2):
            with pytest.raises(TableError):
                await table.lookup(key)


@interop
async def test_unix_socket_and_a_host_that_is_down(make: Make, ldap_server: Any) -> None:
    url = "ldapi://" + str(ldap_server.socket).replace("/", "%2F")
    assert await make(hosts=url).lookup("o'hara@x.test") == "o/"
    assert await make(hosts=f"127.0.0.1:1 127.0.0.1:{ldap_server.port}").lookup("o'hara@x.test") == "o/"


@interop
@pytest.mark.parametrize("wrapped", [False, True])
async def test_tls(wrapped: bool, make: Make, ldap_server: Any) -> None:
    host = f"ldaps://127.0.0.1:{ldap_server.tls_port}" if wrapped else f"ldap://127.0.0.1:{ldap_server.port}"
    text = "query_filter = (mail=%s)\nstart_tls = " + ("no" if wrapped else "yes")
    trusted = f"{text}\ntls_require_cert = yes\ntls_ca_cert_file = {ldap_server.ca_file}"
    assert await make(trusted, host).lookup("o'hara@x.test") == "o/"
    assert await make(text, host).lookup("o'hara@x.test") == "o/"
    with pytest.raises(TableError, match="certificate"):
        await make(f"{text}\ntls_require_cert = yes", host).lookup("o'hara@x.test")


async def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "table.cf"
    path.write_text(f"server_host = ldapi://{tmp_path}/none\nbind_pw = topsecret\nsearch_base = {ROOT}\n")
    table = open_table(f"ldap:{path}")
    with pytest.raises(TableError, match="no server can be reached"):
        await table.lookup("a")
    assert "topsecret" not in caplog.text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("query_filter = (mail=", "query_filter"),
        ("query_filter = (mail=%x)", "invalid query_filter template"),
        ("search_base = %", "invalid search_base template"),
        ("scope = all", "unknown scope"),
        ("bind = perhaps", "unknown bind"),
        ("bind = sasl\nsasl_mechs = GSSAPI", "sasl_mechs"),
        ("recursion_limit = 0", "recursion_limit"),
        ("dereference = 4", "dereference"),
        ("tls_ca_cert_file = /nonexistent", "nonexistent"),
    ],
)
def test_mistakes_in_the_settings(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "table.cf"
    path.write_text(f"{text}\n")
    with pytest.raises(SpecError, match=complaint):
        open_table(f"ldap:{path}")


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_key_changes_the_structure_of_a_filter(key: str) -> None:
    template = parse_filter("(&(mail=%s)(|(cn=*%u*)(!(uid>=%s))))")
    bound = bind_filter(template, lambda value: fill(value, key, key))
    if bound is None:
        assert key.startswith("@") or not key.rpartition("@")[0]
        return
    # What a server would read back has the same shape: the same filter with plain values in the same places.
    again = bind_filter(parse_filter(str(bound)), lambda value: "x")
    assert again == bind_filter(template, lambda value: "x")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_no_key_adds_a_part_to_a_name(key: str) -> None:
    quoted = quote_name(key)
    plain = quoted.replace("\\\\", "").split("\\")
    assert not any(c in part[1:] if n else c in part for n, part in enumerate(plain) for c in ',+"<>;=#')
