"""Recipients: aliases, canonical forms, copies and duplicates."""

from __future__ import annotations

import pytest

from mta.message.expansion import Find, Limits, copies, expand_alias, map_one, redirected, without_duplicates
from mta.message.submission import Rejected
from mta.queue import Notify, Recipient
from mta.tables import TableError


def table(**entries: str) -> Find:
    async def find(address: str) -> list[str] | None:
        value = entries.get(address.lower())
        if value == "!":
            raise TableError("away")
        return None if value is None else value.split()

    return find


@pytest.mark.parametrize(
    ("entries", "address", "result"),
    [
        ({}, "a", ["a"]),
        ({"a": "b"}, "a", ["b"]),
        ({"a": "b c", "b": "d e"}, "a", ["d", "c", "e"]),
        ({"a": "a"}, "a", ["a"]),
        ({"a": "A b"}, "a", ["A", "b"]),
        ({"a": "b b"}, "a", ["b", "b"]),
        ({"a": "b c", "b": "b d"}, "a", ["b", "c", "d"]),
    ],
)
async def test_aliases(entries: dict[str, str], address: str, result: list[str]) -> None:
    assert await expand_alias(address, table(**entries), Limits()) == result


@pytest.mark.parametrize(
    ("entries", "limits"),
    [
        ({"a": " ".join(f"x{n}" for n in range(11))}, Limits(expansion=10)),
        ({f"x{n}": f"x{n + 1}" for n in range(20)} | {"a": "x0"}, Limits(recursion=10)),
        ({"a": "b" * 30}, Limits(address_length=20)),
        ({"a": "b", "b": "a"}, Limits()),
        ({"a": "b c", "c": "a d"}, Limits()),
    ],
)
async def test_aliases_without_measure_defer(entries: dict[str, str], limits: Limits) -> None:
    with pytest.raises(Rejected) as caught:
        await expand_alias("a", table(**entries), limits)
    assert (caught.value.code, caught.value.status) == (451, "4.6.0")


async def test_a_table_that_is_away_defers() -> None:
    for attempt in (expand_alias("a", table(a="!"), Limits()), map_one("a", table(a="!"))):
        with pytest.raises(Rejected) as caught:
            await attempt
        assert caught.value.code == 451


@pytest.mark.parametrize(
    ("entries", "result"),
    [({}, "a"), ({"a": "b"}, "b"), ({"a": "b", "b": "c"}, "c"), ({"a": "b c"}, "a"), ({"a": "a"}, "a")],
)
async def test_canonical(entries: dict[str, str], result: str) -> None:
    assert await map_one("a", table(**entries)) == result


async def test_canonical_circles_end() -> None:
    assert await map_one("a", table(a="b", b="a")) in ("a", "b")


def test_duplicates() -> None:
    one = Recipient("a@b", "a@b", "rfc822;a@b")
    same = Recipient("A@B", "A@b", "rfc822;A@B")
    other_origin = Recipient("a@b", "c@d", "rfc822;c@d")
    other_wish = Recipient("a@b", "a@b", "rfc822;a@b", Notify.NEVER)
    everyone = [one, same, other_origin, other_wish]
    assert without_duplicates(everyone, True, 1000) == [one, other_origin, other_wish]
    assert without_duplicates(everyone, False, 1000) == [one]
    assert len(without_duplicates([Recipient(f"{n}@b") for n in range(5)] * 2, False, 3)) == 7


def test_copies_notify_nobody() -> None:
    assert copies(["a"], lambda address: f"{address}@b") == [Recipient("a@b", "a@b", "rfc822;a@b", Notify.NEVER)]


def test_redirection_keeps_the_original() -> None:
    assert redirected([Recipient("a@b", "a@b")], "c@d") == [Recipient("c@d", "a@b")]
