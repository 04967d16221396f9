"""Text sources: entries, aliases, reloading."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.tables import Table, TableError, open_table
from mta.tables import textfile as module
from mta.tables.textfile import parse_entries, split_alias, split_entry

MakeTable = Callable[..., Table]

SOURCE = """# comment
key1 value one
Key2\tVALUE
  continued
"quoted key" qv
"a b"@x.y q2
back\\ slash v3
key1 second
lonely
ünï x
"""


@pytest.mark.parametrize("kind", ["texthash", "hash", "btree", "lmdb"])
async def test_entries(kind: str, table: MakeTable, caplog: pytest.LogCaptureFixture) -> None:
    found = table(kind, SOURCE)
    asked = ["key1", "KEY1", "key2", '"quoted key"', '"a b"@x.y', "back\\ slash", "lonely", "ÜNÏ", "no"]
    assert [await found.lookup(key) for key in asked] == [
        "value one",
        "value one",
        "VALUE  continued",
        "qv",
        "q2",
        "v3",
        None,
        "x",
        None,
    ]
    assert 'line 8: duplicate entry: "key1"' in caplog.text
    assert "line 9: expected format: key whitespace value" in caplog.text
    assert found.exact


async def test_aliases(table: MakeTable) -> None:
    found = table("hash", 'root: alice,\n bob\n"a: b": "|cmd -x"\nPostmaster:root\nbroken\n', aliases=True)
    assert [await found.lookup(key) for key in ("root", "a: b", "postmaster", "broken")] == [
        "alice, bob",
        '"|cmd -x"',
        "root",
        None,
    ]


async def test_a_changed_file_is_read_again(table: MakeTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.0)
    found = table("texthash", "a 1\n")
    assert await found.lookup("a") == "1"
    path = tmp_path / "texthash"
    replacement = tmp_path / "new"
    replacement.write_text("a 22\n")
    replacement.replace(path)
    assert await found.lookup("a") == "22"
    path.unlink()
    assert await found.lookup("a") == "22"


async def test_a_missing_file_is_a_temporary_error_until_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.0)
    found = open_table(f"hash:{tmp_path}/late")
    with pytest.raises(TableError, match="No such file"):
        await found.lookup("a")
    (tmp_path / "late").write_text("a b\n")
    assert await found.lookup("a") == "b"


async def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_LIMIT", 100)
    (tmp_path / "big").write_text("k v\n" * 50)
    with pytest.raises(TableError, match="larger than"):
        await open_table(f"hash:{tmp_path}/big").lookup("k")


async def test_endless_keys_are_not_looked_up(table: MakeTable) -> None:
    assert await table("texthash", "a b\n").lookup("a" * 200_000) is None


async def test_bytes_that_are_no_text_come_back_unchanged(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"k\xff v\xfe\n")
    value = await open_table(f"texthash:{tmp_path}/t").lookup(os.fsdecode(b"k\xff"))
    assert value is not None
    assert value.encode("utf-8", "surrogateescape") == b"v\xfe"


@given(st.text(alphabet='ab "\\:\t\n#\x00ü', max_size=60))
def test_any_source_is_read(text: str) -> None:
    for aliases in (False, True):
        for end in range(len(text) + 1):
            entries = parse_entries(text[:end], Path("test"), aliases=aliases)
            assert all(key and value for key, value in entries.items())


@given(st.text(max_size=40))
def test_only_value_errors_escape(text: str) -> None:
    for split in (split_entry, split_alias):
        try:
            key, value = split(text)
        except ValueError:
            continue
        assert key
        assert value


def test_lookups_do_not_need_a_running_loop_of_their_own(table: MakeTable) -> None:
    found = table("texthash", "a b\n")
    assert asyncio.run(found.lookup("a")) == "b"


def test_blanks_between_the_addresses_of_an_alias_are_one() -> None:
    assert split_alias('team: a,\n   b,  "x  y"@z\tc') == ("team", 'a, b, "x  y"@z c')


async def test_texthash_is_in_the_format_of_postmap_for_aliases_too(table) -> None:
    found = table("texthash", "root alice, bob\n", aliases=True)
    assert await found.lookup("root") == "alice, bob"
