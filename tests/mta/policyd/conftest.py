"""A resolver that answers from a table, for SPF."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mta.dns import Answer, NotFound, Record, Resolver, TempFail

Zone = Callable[[str], Resolver]


class Table(Resolver):
    """`name TYPE value` lines; a value SERVFAIL fails temporarily. `asked` are the questions so far."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.records: dict[tuple[str, str], list[str]] = {}
        self.asked: list[tuple[str, str]] = []
        for line in filter(None, map(str.strip, text.split("\n"))):
            name, kind, value = line.split(None, 2)
            self.records.setdefault((name.lower(), kind), []).append(value)

    async def query(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        found = self.records.get((name.rstrip(".").lower(), kind))
        if not found:
            raise NotFound(name, kind, "not found", exists=False)
        if "SERVFAIL" in found:
            raise TempFail(name, kind, "try again")
        return Answer(name, tuple(Record(kind, value) for value in found))


@pytest.fixture
def zone() -> Zone:
    return Table
