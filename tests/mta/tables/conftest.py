"""Fixtures: tables made of given texts, and the real postmap to compare with."""

import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.tables import Table, open_table
from tests import peers

MakeTable = Callable[..., Table]


@pytest.fixture
def table(tmp_path: Path) -> MakeTable:
    """Writes a table's source and opens it as `type:/path`."""

    def make(kind: str, text: str, *, aliases: bool = False) -> Table:
        path = tmp_path / kind
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return open_table(f"{kind}:{path}", aliases=aliases)

    return make


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Table]]:
    """Opens tables; they are closed at the end."""
    tables = list[Table]()

    def make(spec: str, config: MainConfig | None = None) -> Table:
        tables.append(open_table(spec, config))
        return tables[-1]

    yield make
    for table in tables:
        await table.aclose()


@pytest.fixture
def ask_postfix(tmp_path: Path) -> Callable[[str, Sequence[str]], list[str | None]]:
    """What the real postmap -q answers for keys; None when it finds nothing."""

    def ask(spec: str, keys: Sequence[str]) -> list[str | None]:
        confdir = tmp_path / "postfix"
        confdir.mkdir(exist_ok=True)
        (confdir / "main.cf").write_text("compatibility_level = 3.6\n")
        peers.age(confdir / "main.cf", *filter(Path.is_file, tmp_path.iterdir()))
        done = subprocess.run(
            ["postmap", "-c", confdir, "-q", "-", spec],
            input="".join(f"{key}\n" for key in keys).encode(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert b"fatal" not in done.stderr, done.stderr.decode()
        found = dict(line.split("\t", 1) for line in done.stdout.decode().splitlines())
        return [found.get(key) for key in keys]

    return ask
