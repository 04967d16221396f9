"""A list of tables searched in order, as every `..._maps` parameter is."""

import logging
from collections.abc import Sequence

from mta.tables.base import Table, TableError

log = logging.getLogger("postfix.tables")


class Maps:
    """Tables searched in order; the first answer counts. False when there are none."""

    def __init__(self, title: str, tables: Sequence[Table]) -> None:
        self.title = title
        self.tables = tuple(tables)

    def __bool__(self) -> bool:
        return bool(self.tables)

    async def lookup(self, key: str, *, partial: bool = False) -> str | None:
        """The first table's answer; None when no table has one, or the key is empty.

        partial: the key is a part of what is really looked for; pattern tables are then skipped.
        Raises TableError when a table cannot answer: the tables behind it are not asked, as a missing answer
        in front might have hidden theirs.
        """
        if not key:
            return None
        for table in self.tables:
            if partial and not table.exact:
                continue
            try:
                value = await table.lookup(key)
            except TableError as error:
                log.warning('%s lookup error for "%s": %s', table.name, key, error)
                raise
            if value == "":
                log.warning("%s lookup of %s returns an empty string result", self.title, key)
                log.warning("%s should return NO RESULT in case of NOT FOUND", self.title)
                raise TableError(f"{self.title}: empty result for {key}")
            if value is not None:
                return value
        return None

    async def aclose(self) -> None:
        """Close all tables; a later lookup opens them again."""
        for table in self.tables:
            await table.aclose()
