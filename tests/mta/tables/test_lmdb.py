"""lmdb: tables: built here and by Postfix, read here and by Postfix."""

import asyncio
import fcntl
import io
import multiprocessing
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.tables import Table, TableError
from mta.tables import lmdb as module
from mta.tables.base import fold
from mta.tables.lmdbfile import DatabaseFile, Duplicate, remove, write
from mta.tables.postmap import main, postalias_main
from tests import peers

Opened = Callable[..., Table]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = mx.test\n")
    peers.age(tmp_path / "main.cf")
    path = tmp_path / "t"
    path.write_text("Key one\n  continued\n# note\nb two\nkey again\nlonely\nünï x\n")
    return path


def postmap(source: Path, *arguments: str) -> int:
    return main(["-c", str(source.parent), *arguments])


def built(source: Path) -> Path:
    return source.with_name(source.name + ".lmdb")


async def test_building_and_asking(source: Path, opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(postmap, source, f"lmdb:{source}") == 0
    output = capsys.readouterr().err
    assert f'postmap: warning: {source}, line 5: duplicate entry: "key"' in output
    assert f"postmap: warning: {source}, line 6: expected format: key whitespace value" in output
    table = opened(f"lmdb:{source}")
    asked = ["key", "KEY", "b", "ÜNÏ", "lonely", "", "x" * 600, "nul\0", "\udcff"]
    assert [await table.lookup(key) for key in asked] == ["one  continued", "one  continued", "two", "x"] + [None] * 5
    assert sorted(table.sequence()) == [("b", "two"), ("key", "one  continued"), ("ünï", "x")]
    assert table.exact


async def test_what_is_built_again_is_seen_at_once(source: Path, opened: Opened) -> None:
    write(built(source), [("a", "1")])
    first, second = opened(f"lmdb:{source}"), opened(f"lmdb:{source}")
    assert [await first.lookup("a"), await second.lookup("a")] == ["1", "1"]
    write(built(source), [(f"k{n}", "v" * 400) for n in range(2000)], truncate=True, map_size=1 << 16)
    assert [await first.lookup("a"), await second.lookup("k1999")] == [None, "v" * 400]
    # A file that takes the other's name is seen too.
    write(source.with_name("new"), [("a", "3")])
    source.with_name("new").replace(built(source))
    assert [await first.lookup("a"), await second.lookup("a")] == ["3", "3"]
    built(source).unlink()
    assert await first.lookup("a") == "3"


def test_single_entries(source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"lmdb:{source}"

    def add(text: str, *options: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return postmap(source, *options, spec)

    assert postmap(source, spec) == 0
    assert add("c three\nb other\n", "-i") == 0
    assert 'duplicate entry: "b"' in capsys.readouterr().err
    assert add("b other\n", "-iw") == 0
    assert capsys.readouterr().err == ""
    assert postmap(source, "-q", "b", spec) == 0
    assert add("B new\n", "-ir") == 0
    assert postmap(source, "-q", "b", spec) == 0
    assert postmap(source, "-d", "C", spec) == 0
    assert postmap(source, "-d", "C", spec) == 1
    assert add("b\nünï\n", "-d", "-") == 0
    capsys.readouterr().out  # noqa: B018 (forgets what the queries printed)
    assert postmap(source, "-s", spec) == 0
    assert capsys.readouterr().out == "key\tone  continued\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["lmdb:/nonexistent/t"], "open /nonexistent/t: No such file"),
        (["-q", "a", "lmdb:/nonexistent/t"], "open database /nonexistent/t.lmdb: No such file"),
        (["-d", "a", "lmdb:/nonexistent/t"], "No such file"),
        (["regexp:/nonexistent"], "does not support bulk-mode creation"),
        (["-d", "a", "hash:{source}"], "its text source: change that"),
    ],
)
def test_mistakes(arguments: list[str], complaint: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert postmap(source, *(word.replace("{source}", str(source)) for word in arguments)) == 1
    assert complaint in capsys.readouterr().err


def test_hash_tables_need_no_building(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert postmap(source, f"hash:{source}") == 0
    output = capsys.readouterr().err
    assert "line 6: expected format" in output
    assert "nothing is built" in output
    assert sorted(path.name for path in source.parent.iterdir()) == ["main.cf", "t"]


async def test_the_text_is_read_where_nothing_was_built(source: Path, opened: Opened) -> None:
    assert await opened(f"lmdb:{source}").lookup("b") == "two"


async def test_a_stale_table_is_told(source: Path, opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    write(built(source), [("b", "old")])
    os.utime(built(source), (1, 1))
    assert await opened(f"lmdb:{source}").lookup("b") == "old"
    assert f"database {built(source)} is older than source file {source}" in caplog.text


async def test_rubbish_is_a_temporary_error(source: Path, opened: Opened) -> None:
    for text in (b"", b"rubbish" * 10_000):
        built(source).write_bytes(text)
        with pytest.raises(TableError):
            await opened(f"lmdb:{source}").lookup("b")


async def test_a_failed_build_leaves_the_old_table(source: Path, opened: Opened) -> None:
    write(built(source), [("a", "1")])
    with pytest.raises(TableError, match="longer than"):
        write(built(source), [("b", "2"), ("x" * 1000, "3")], truncate=True)
    assert await opened(f"lmdb:{source}").lookup("a") == "1"
    with pytest.raises(TableError):
        remove(source.with_name("none.lmdb"), ["a"])


async def test_lookups_wait_for_a_builder(source: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    write(built(source), [("a", "1")])
    table = opened(f"lmdb:{source}")
    with built(source).open("rb") as builder:
        fcntl.flock(builder, fcntl.LOCK_EX)
        asking = asyncio.create_task(table.lookup("a"))
        await asyncio.sleep(3 * module.LOCK_INTERVAL)
        assert not asking.done()
        fcntl.flock(builder, fcntl.LOCK_UN)
        assert await asyncio.wait_for(asking, 5) == "1"
        monkeypatch.setattr(module, "LOCK_PATIENCE", 0.0)
        fcntl.flock(builder, fcntl.LOCK_EX)
        with pytest.raises(TableError, match="locked"):
            await table.lookup("a")


def _rebuild(path: Path, times: int) -> None:
    for n in range(times):
        write(path, [(f"k{key}", f"{n} " + "x" * 300) for key in range(50)], truncate=True)


async def test_readers_never_see_half_a_table(source: Path, opened: Opened) -> None:
    _rebuild(built(source), 1)
    table = opened(f"lmdb:{source}")
    builder = multiprocessing.get_context("spawn").Process(target=_rebuild, args=(built(source), 100))
    builder.start()
    try:
        seen = 0
        while builder.is_alive() or not seen:
            assert {await table.lookup(f"k{key}") is None for key in range(0, 50, 7)} == {False}
            seen += 1
            await asyncio.sleep(0.001)
    finally:
        builder.join(30)
    assert builder.exitcode == 0


def test_files_are_shared_and_closed(source: Path) -> None:
    write(built(source), [("a", "1")])
    first, second = DatabaseFile.open(built(source)), DatabaseFile.open(built(source))
    assert first is second
    first.close()
    assert second.get("a") == "1"
    second.close()
    assert not DatabaseFile._shared


@settings(deadline=None)  # every example is written to the disk
@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=8), st.text(max_size=20))
def test_entries_come_back(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str], other: str) -> None:
    kept = {fold(key): value for key, value in entries.items() if len(key.encode()) < 500 and not key.endswith("\0")}
    path = tmp_path_factory.getbasetemp() / "property.lmdb"
    try:
        write(path, kept.items(), truncate=True, duplicate=Duplicate.REPLACE)
    except TableError:
        pytest.fail("a short key was refused")
    file = DatabaseFile.open(path)
    try:
        for key, value in kept.items():
            assert file.get(key) == value.removesuffix("\0") or value.endswith("\0")
        if fold(other) not in kept and not any(key.startswith(fold(other)) for key in kept):
            assert file.get(other) is None
    finally:
        file.close()


@pytest.mark.interop
@pytest.mark.needs("postmap", "postfix")
async def test_postfix_reads_ours(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(postmap, source, f"lmdb:{source}") == 0
    listed = subprocess.run(["postmap", "-c", source.parent, "-s", f"lmdb:{source}"], capture_output=True, check=True)
    assert listed.stdout.decode() == "b\ttwo\nkey\tone  continued\nünï\tx\n"
    asked = ["postmap", "-c", source.parent, "-q", "KEY", f"lmdb:{source}"]
    assert subprocess.run(asked, capture_output=True, check=True).stdout == b"one  continued\n"
    (source.parent / "aliases").write_text("Root: alice, bob\n")
    spec = f"lmdb:{source.parent}/aliases"
    assert await asyncio.to_thread(postalias_main, ["-c", str(source.parent), spec]) == 0
    listed = subprocess.run(["postmap", "-c", source.parent, "-s", spec], capture_output=True, check=True)
    names = [line.split("\t")[0] for line in listed.stdout.decode().splitlines()]
    assert names == ["@", "YP_LAST_MODIFIED", "YP_MASTER_NAME", "root"]


@pytest.mark.interop
@pytest.mark.needs("postmap", "postfix")
async def test_ours_reads_postfix(source: Path, opened: Opened) -> None:
    for options in ([], ["-N"], ["-n"]):  # with the closing NUL and without
        subprocess.run(["postmap", "-c", source.parent, *options, f"lmdb:{source}"], capture_output=True, check=True)
        table = opened(f"lmdb:{source}")
        assert [await table.lookup(key) for key in ("KEY", "b", "ÜNÏ", "c")] == ["one  continued", "two", "x", None]
        table_entries = dict(table.sequence())
        assert table_entries == {"key": "one  continued", "b": "two", "ünï": "x"}
