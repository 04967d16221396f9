"""SEARCH, SORT and THREAD as a dialogue, as Dovecot answers it."""

from __future__ import annotations

from typing import Any

import pytest


async def test_search(selected: Any) -> None:
    assert await selected.lines("SEARCH SUBJECT one NOT FROM bob") == ["* SEARCH 1", "OK Search completed."]
    assert await selected.lines("SEARCH RETURN (MIN COUNT) ALL") == [
        '* ESEARCH (TAG "t4") MIN 1 COUNT 2',
        "OK Search completed.",
    ]
    await selected.command("SEARCH RETURN (SAVE) FROM bob")
    assert await selected.lines("FETCH $ UID") == ["* 2 FETCH (UID 2)", "OK Fetch completed."]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("9:*", ""),  # n:* with n behind the last message is empty here, though not in FETCH
        ("*", " 2"),
        ('FROM "<b"', " 2"),
        ("KEYWORD \\Seen", ""),
        ("SMALLER 18446744073709551615", " 1 2"),
        ('CHARSET US-ASCII FROM "bob"', " 2"),
    ],
)
async def test_search_keys_as_dovecot_reads_them(selected: Any, keys: str, found: str) -> None:
    await selected.command("STORE 1 +FLAGS.SILENT (\\Seen)")
    assert await selected.lines(f"SEARCH {keys}") == [f"* SEARCH{found}", "OK Search completed."]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("1,", "1"),
        ("BEFORE 32-Jan-2030", "1 2"),
        ("SINCE 31-Feb-2030", ""),
        ("SINCE 32-Jan-1999", "1 2"),
        ('BODY ""', "1 2"),
    ],
)
async def test_search_keys_that_other_servers_refuse(selected: Any, keys: str, found: str) -> None:
    assert (await selected.lines(f"SEARCH {keys}"))[0].split() == ["*", "SEARCH", *found.split()]


async def test_relevancy_is_the_same_of_all(selected: Any) -> None:
    assert (await selected.lines("SEARCH RETURN (RELEVANCY COUNT) ALL"))[0].endswith(" RELEVANCY (1 1) COUNT 2")
    assert (await selected.lines("SEARCH RETURN (RELEVANCY MIN) ALL"))[0].endswith(" MIN 1 RELEVANCY (1)")
    assert (await selected.lines("SORT (REVERSE RELEVANCY) UTF-8 ALL"))[0] == "* SORT 1 2"


async def test_a_keyword_that_the_client_named_is_listed(selected: Any) -> None:
    assert "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft New)" in await selected.lines("SEARCH KEYWORD New")
    assert not any("FLAGS" in line for line in await selected.lines("SEARCH KEYWORD new"))
    assert any(line.endswith("New Other)") for line in await selected.lines("STORE 1 -FLAGS (Other)"))


async def test_sort_and_thread(selected: Any) -> None:
    assert (await selected.lines("SORT (REVERSE SUBJECT) UTF-8 ALL"))[0] == "* SORT 1 2"
    assert (await selected.lines("UID SORT (REVERSE SIZE) UTF-8 ALL"))[0] == "* SORT 1 2"
    assert (await selected.lines("THREAD ORDEREDSUBJECT UTF-8 ALL"))[0] == "* THREAD (1 2)"
    assert (await selected.lines("THREAD REFS UTF-8 ALL"))[0] == "* THREAD (1)(2)"
