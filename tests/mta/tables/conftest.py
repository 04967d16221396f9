"""Fixtures: tables made of given texts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mta.tables import Table, open_table

MakeTable = Callable[..., Table]


@pytest.fixture
def table(tmp_path: Path) -> MakeTable:
    """Writes a table's source and opens it as `type:/path`."""

    def make(kind: str, text: str, *, aliases: bool = False) -> Table:
        path = tmp_path / kind
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return open_table(f"{kind}:{path}", aliases=aliases)

    return make
