"""Tables made of tables: unionmap:, pipemap: and randmap:."""

import random
from collections.abc import Sequence

from mta.tables.base import Options, SpecError, Table
from mta.tables.inline import braced_words

# Tables within tables within tables: deeper nesting is a mistake, and recursion must end.
DEPTH_LIMIT = 10


class CombinedTable(Table):
    """What unionmap: and pipemap: share: the tables inside; the first tells whether partial keys may be asked."""

    def __init__(self, name: str, tables: Sequence[Table]) -> None:
        super().__init__(name)
        self.tables = tables
        self.exact = tables[0].exact

    async def aclose(self) -> None:
        for table in self.tables:
            await table.aclose()


class UnionTable(CombinedTable):
    """unionmap:{ type:name, ... }: all answers joined by commas."""

    async def lookup(self, key: str) -> str | None:
        found = [value for table in self.tables if (value := await table.lookup(key)) is not None]
        return ",".join(found) if found else None


class PipeTable(CombinedTable):
    """pipemap:{ type:name, ... }: each answer is the next table's key; the first that finds nothing ends it."""

    async def lookup(self, key: str) -> str | None:
        value: str | None = key
        for table in self.tables:
            if value is None:
                break
            value = await table.lookup(value)
        return value


class RandomTable(Table):
    """randmap:{ a, b, ... }: one of the words, whatever the key."""

    exact = False

    def __init__(self, name: str, words: Sequence[str]) -> None:
        super().__init__(name)
        self.words = words

    async def lookup(self, key: str) -> str | None:
        return random.choice(self.words)  # noqa: S311 (spreads load, keeps no secret)


def _parts(name: str, options: Options) -> list[Table]:
    words = braced_words(name, "{type:name...}")
    if name.count("{") > DEPTH_LIMIT or not all(":" in word for word in words):
        kind = name.partition(":")[0]
        raise SpecError(f'bad syntax: "{name}"; need "{kind}:{{type:name...}}"')
    return [options.open(word) for word in words]


def open_union(name: str, options: Options) -> Table:
    """unionmap:. Raises SpecError."""
    return UnionTable(name, _parts(name, options))


def open_pipe(name: str, options: Options) -> Table:
    """pipemap:. Raises SpecError."""
    return PipeTable(name, _parts(name, options))


def open_random(name: str, _options: Options) -> Table:
    """randmap:. Raises SpecError."""
    return RandomTable(name, braced_words(name, "{result...}"))
