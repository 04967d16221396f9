"""SQL tables: a query template whose values are bound parameters, never text (pgsql_table(5), mysql_table(5))."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mta.tables.base import Options, SpecError
from mta.tables.expansion import PERCENT, Rules, check_template, fill, read_source

# String literals. Standard SQL doubles the quote; MySQL also escapes with backslashes and takes double quotes.
_STANDARD = re.compile(r"'(?:[^']|'')*'")
_MYSQL = re.compile(r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*\"""", re.DOTALL)
_BACKSLASH = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


@dataclass(frozen=True)
class Query:
    """An SQL text with `?` for every value that depends on the key, and the templates of those values.

    The key never becomes part of the SQL text: `'%u@%d'` and a bare `%s` alike are bound parameters.
    """

    text: str
    parameters: tuple[str, ...]

    @classmethod
    def parse(
        cls, template: str, placeholder: Callable[[int], str] = lambda _n: "?", *, mysql: bool = False
    ) -> "Query":
        """Turn a `query =` template into SQL with placeholders (numbered from 1). Raises SpecError."""
        check_template(template, "query")
        text, parameters = list[str](), list[str]()
        for literal, part in _sql_parts(template, _MYSQL if mysql else _STANDARD):
            if literal:
                inner = _unquote(part, mysql)
                if "%" not in inner:
                    text.append(part)
                    continue
                parameters.append(inner)
                text.append(placeholder(len(parameters)))
            else:
                text.append(_bind_bare(part, parameters, placeholder))
        return cls("".join(text), tuple(parameters))

    def values(self, key: str) -> list[str] | None:
        """The parameters for a key; None when the key lacks a part that the query needs."""
        found = [fill(parameter, key, key) for parameter in self.parameters]
        return [value for value in found if value is not None] if None not in found else None


def _unquote(literal: str, mysql: bool) -> str:
    """The text that a string literal stands for."""
    quote, inner = literal[0], literal[1:-1]
    if not mysql:
        return inner.replace(2 * quote, quote)
    return re.sub(
        rf"{quote}{quote}|\\(.)",
        lambda match: _BACKSLASH.get(match[1], match[1]) if match[1] else quote,
        inner,
        flags=re.DOTALL,
    )


def _sql_parts(template: str, string: re.Pattern[str]) -> Iterator[tuple[bool, str]]:
    """(is a quoted string, text) parts of an SQL text."""
    at = 0
    for match in string.finditer(template):
        yield False, template[at : match.start()]
        yield True, match[0]
        at = match.end()
    yield False, template[at:]


def _bind_bare(text: str, parameters: list[str], placeholder: Callable[[int], str]) -> str:
    def bind(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        parameters.append(match[0])
        return placeholder(len(parameters))

    return PERCENT.sub(bind, text)


@dataclass(frozen=True)
class DatabaseSource:
    """The settings of a database table's own configuration file that all SQL types share."""

    path: Path
    settings: dict[str, str]
    query: Query
    rules: Rules

    @classmethod
    def load(
        cls,
        path: Path,
        options: Options,
        placeholder: Callable[[int], str] = lambda _n: "?",
        *,
        mysql: bool = False,
    ) -> "DatabaseSource":
        """Read a `name = value` file. Raises SpecError with every mistake, file and line."""
        settings = read_source(path)
        template = settings.get("query") or old_query(settings)
        if not template:
            raise SpecError(f"{path}: no query is given")
        return cls(path, settings, Query.parse(template, placeholder, mysql=mysql), Rules.load(path, settings, options))

    @property
    def hosts(self) -> list[str]:
        """The servers to ask."""
        return self.settings.get("hosts", "").replace(",", " ").split() or ["localhost"]

    async def values(self, key: str) -> list[str] | None:
        """What to bind for a key; None when it is not to be asked. Raises TableError."""
        return self.query.values(key) if await self.rules.eligible(key) else None

    def combine(self, rows: Sequence[Sequence[object]], key: str) -> str | None:
        """One answer out of the rows' columns. Raises TableError when expansion_limit is exceeded."""
        return self.rules.combine((str(column) for row in rows for column in row if column is not None), key)


def old_query(settings: dict[str, str]) -> str:
    """The query that select_function or table, select_field and where_field mean; empty when they are absent."""
    if function := settings.get("select_function"):
        return f"SELECT {function}('%s')"
    names = ("table", "select_field", "where_field")
    if not all(settings.get(name) for name in names):
        return ""
    table, select, where = (settings[name].replace("%", "%%") for name in names)
    extra = settings.get("additional_conditions", "").replace("%", "%%")
    return f"SELECT {select} FROM {table} WHERE {where} = '%s' {extra}"  # noqa: S608 (the administrator's own words)
