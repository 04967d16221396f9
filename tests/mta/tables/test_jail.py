"""Tables in a process whose jail has closed: what was opened stays, and the log tells of what has changed outside."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INMATE = """
import asyncio, logging, os, sys
from pathlib import Path
from lab.sandbox import Confinement, confine
from lab.sandbox.python_paths import SYSTEM
from mta.tables import open_table
logging.basicConfig(stream=sys.stdout, format="log: %(message)s")
table = open_table(sys.argv[1])
look = lambda: asyncio.run(table.lookup("key"))
print(look(), flush=True)
confine(Confinement(read=SYSTEM))
for line in sys.stdin:
    print(look(), flush=True)
"""

JAILED = """
import asyncio, sys
from lab.sandbox import Confinement, confine
from lab.sandbox.python_paths import SYSTEM
from mta.tables import open_table
table = open_table(sys.argv[1])
confine(Confinement(read=SYSTEM))
print(asyncio.run(table.lookup("key")))
"""


@pytest.mark.parametrize("kind", ["texthash", "lmdb"])
def test_a_table_that_changes_outside_keeps_its_content(place: Path, kind: str) -> None:
    source = place / "table"

    def write(value: str) -> None:
        new = place / "new"
        new.write_text(f"key {value}\n")
        if kind == "lmdb":
            subprocess.run([sys.executable, "-m", "lab", "postmap", f"lmdb:{new}"], check=True, cwd=ROOT)
            Path(f"{new}.lmdb").rename(f"{source}.lmdb")
        new.rename(source)

    write("old")
    argv = [sys.executable, "-c", INMATE, f"{kind}:{source}"]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as inmate:
        assert inmate.stdin is not None and inmate.stdout is not None
        assert inmate.stdout.readline() == "old\n"
        write("new and longer")
        said: list[str] = []
        while not any(line.startswith("log: ") for line in said):  # the file is looked at once a second
            inmate.stdin.write("again\n")
            said.append(inmate.stdout.readline())
            assert said[-1] and len(said) < 1_000_000
        inmate.stdin.close()
        rest = inmate.stdout.read()
    told = f"log: table {source}{'.lmdb' if kind == 'lmdb' else ''} has changed, and this process may not open it again: reload\n"
    assert {*said, *rest.splitlines(keepends=True)} == {"old\n", told}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_is_opened_before_the_jail_closes(place: Path, mode: str) -> None:
    with contextlib.closing(sqlite3.connect(place / "db")) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("CREATE TABLE t (k, v)")
        database.execute("INSERT INTO t VALUES ('key', 'old')")
        database.commit()
        (place / "settings").write_text(f"dbpath = {place}/db\nquery = SELECT v FROM t WHERE k = '%s'\n")
        argv = [sys.executable, "-c", JAILED, f"sqlite:{place}/settings"]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "old\n"
