"""Tables without a file, and tables made of tables."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tables import SpecError, TableError, inline, open_table


@pytest.mark.parametrize(
    ("spec", "answers"),
    [
        ("inline:{a=b, {c = d e}, A2=x, a=last}", {"a": "last", "A": "last", "c": "d e", "a2": "x", "no": None}),
        ('inline:{ {"s t" = u} }', {'"s t"': "u", "s t": None}),
        ("static:OK", {"anything": "OK", "": "OK"}),
        ("static:{ two words }", {"x": "two words"}),
        ("unionmap:{static:one, inline:{a=b}}", {"a": "one,b", "c": "one"}),
        ("unionmap:{inline:{a=b}}", {"c": None}),
        ("pipemap:{inline:{a=b}, inline:{b=c}}", {"a": "c", "b": None}),
        ("proxy:inline:{a=b}", {"a": "b"}),
        ("unix:passwd.byname", {"root": "root:x:0:0:root:/root:/bin/bash", "no such user": None, "a\0b": None}),
        ("nis:mail.aliases", {"root": None}),
    ],
)
async def test_answers(spec: str, answers: dict[str, str | None]) -> None:
    table = open_table(spec)
    found = {key: await table.lookup(key) for key in answers}
    if spec.startswith("unix"):
        assert str(found.pop("root")).startswith("root:x:0:0:")
        answers = {key: value for key, value in answers.items() if key != "root"}
    assert found == answers


async def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDMAIL_TEST", "x")
    table = open_table("environ:")
    assert await table.lookup("HARDMAIL_TEST") == "x"
    assert await table.lookup("A=B\0") is None


async def test_random_choice_stays_in_the_list() -> None:
    table = open_table("randmap:{a, b}")
    assert {await table.lookup("x") for _ in range(100)} == {"a", "b"}


async def test_fail_always_fails() -> None:
    for spec in ("fail:x", "unionmap:{static:a, fail:x}", "pipemap:{static:a, fail:x}"):
        with pytest.raises(TableError):
            await open_table(spec).lookup("k")


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("foo:bar", "unsupported dictionary type: foo"),
        ("plain", 'expecting "type:name" form'),
        (":x", 'expecting "type:name" form'),
        ("inline:{}", 'need "inline:{name=value...}"'),
        ("inline:a=b", 'need "inline:{name=value...}"'),
        ("inline:{a}", "missing '='"),
        ("inline:{a=b", 'need "inline:{name=value...}"'),
        ("static:{a", "bad static:name syntax"),
        ("unionmap:{a}", 'need "unionmap:{type:name...}"'),
        ("unionmap:{foo:x}", "unsupported dictionary type: foo"),
        ("pipemap:", "need"),
        ("proxy:hash", "proxy:type:name"),
        ("unix:shadow", "unknown table"),
        ("tcp:host", "need"),
        ("socketmap:inet:host:name", "need"),
        ("hash:", "expecting"),
    ],
)
def test_mistakes(spec: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        open_table(spec)


@given(st.text(alphabet='inlestaucompx:{}=, "\\ab', max_size=50))
def test_only_the_typed_error_escapes(text: str) -> None:
    for kind in ("", "inline:{", "static:", "unionmap:{", "pipemap:{static:a", "socketmap:", "tcp:"):
        with suppress(SpecError):
            open_table(kind + text)


def test_nesting_is_bounded() -> None:
    with pytest.raises(SpecError):
        open_table("unionmap:{" * 50 + "static:a" + "}" * 50)


async def test_nobody_is_unknown_where_the_user_database_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    found = open_table("unix:passwd.byname")
    assert await found.lookup("no-such-user-here") is None
    closed = SimpleNamespace(open=raiser(PermissionError(13, "Permission denied")))
    monkeypatch.setattr(inline, "ACCOUNTS", closed)
    with pytest.raises(TableError, match="have the mail system reloaded"):
        await found.lookup("no-such-user-here")
    monkeypatch.setattr(inline, "ACCOUNTS", SimpleNamespace(open=raiser(FileNotFoundError())))
    assert await found.lookup("no-such-user-here") is None


def raiser(error: Exception):
    def fail(*_: object) -> None:
        raise error

    return fail
