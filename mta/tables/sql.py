"""Query templates of database tables: `%s %u %d ...`, result_format, domain and limits, as mysql_table(5) has them."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mta.config.errors import ConfigErrors
from mta.config.maincf import read_settings
from mta.tables.base import SpecError

_PERCENT = re.compile(r"%(.)", re.DOTALL)
_STRING = re.compile(r"'((?:[^']|'')*)'")
_LETTERS = "sudSUD123456789%"


def split_key(key: str) -> tuple[str, str]:
    """(local part, domain) at the last @; a key without one is all local part."""
    local, at, domain = key.rpartition("@")
    return (local, domain) if at else (key, "")


def expansions(value: str, key: str) -> dict[str, str | None]:
    """What each letter stands for: lower case from value, upper case and digits from key. None: cannot be filled.

    In a query, value and key are both the lookup key; in result_format, value is a result.
    """
    local, domain = split_key(value)
    key_local, key_domain = split_key(key)
    found: dict[str, str | None] = {
        "s": value,
        "u": local or None,
        "d": domain or None,
        "S": key,
        "U": key_local or None,
        "D": key_domain or None,
        "%": "%",
    }
    labels = key_domain.split(".") if key_domain else []
    for n in range(1, 10):
        found[str(n)] = (labels[-n] or None) if len(labels) >= n else None
    return found


def fill(template: str, value: str, key: str) -> str | None:
    """A template with its letters filled in; None when one cannot be, so the key is not asked or the row dropped."""
    known = expansions(value, key)
    if any(known[letter] is None for letter in _PERCENT.findall(template)):
        return None
    return _PERCENT.sub(lambda match: known[match[1]] or "", template)


def check_template(template: str, what: str) -> None:
    """SpecError for a letter that does not exist or a percent sign at the end."""
    for match in re.finditer(r"%(.?)", template, re.DOTALL):
        if not match[1] or match[1] not in _LETTERS:
            raise SpecError(f"invalid {what} template: {template}")


@dataclass(frozen=True)
class Query:
    """An SQL text with `?` for every value that depends on the key, and the templates of those values.

    The key never becomes part of the SQL text: `'%u@%d'` and a bare `%s` alike are bound parameters.
    """

    text: str
    parameters: tuple[str, ...]

    @classmethod
    def parse(cls, template: str, placeholder: Callable[[int], str] = lambda _n: "?") -> "Query":
        """Turn a `query =` template into SQL with placeholders (numbered from 1). Raises SpecError."""
        check_template(template, "query")
        text, parameters = list[str](), list[str]()
        for literal, part in _sql_parts(template):
            if literal:
                inner = part[1:-1].replace("''", "'")
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


def _sql_parts(template: str) -> Iterator[tuple[bool, str]]:
    """(is a quoted string, text) parts of an SQL text."""
    at = 0
    for match in _STRING.finditer(template):
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

    return _PERCENT.sub(bind, text)


@dataclass(frozen=True)
class DatabaseSource:
    """The settings of a database table's own configuration file that all database types share."""

    path: Path
    settings: dict[str, str]
    query: Query
    result_format: str
    expansion_limit: int
    domain: str

    @classmethod
    def load(cls, path: Path, placeholder: Callable[[int], str] = lambda _n: "?") -> "DatabaseSource":
        """Read a `name = value` file. Raises SpecError with every mistake, file and line."""
        try:
            found, _warnings = read_settings(path)
        except ConfigErrors as error:
            raise SpecError(str(error)) from error
        settings = {name: setting.value for name, setting in found.items()}
        template = settings.get("query") or old_query(settings)
        if not template:
            raise SpecError(f"{path}: no query is given")
        result_format = settings.get("result_format", "%s")
        check_template(result_format, "result_format")
        limit = settings.get("expansion_limit", "0")
        if not re.fullmatch(r"[0-9]{1,9}", limit):
            raise SpecError(f"{path}: bad expansion_limit: {limit}")
        query = Query.parse(template, placeholder)
        return cls(path, settings, query, result_format, int(limit), settings.get("domain", ""))

    def combine(self, rows: Sequence[Sequence[object]], key: str) -> str | None:
        """One comma-separated answer out of the rows' columns. ValueError when expansion_limit is exceeded."""
        found = list[str]()
        for row in rows:
            for column in row:
                if column is None or not str(column):
                    continue
                text = fill(self.result_format, str(column), key)
                if text is not None:
                    found.append(text)
                if self.expansion_limit and len(found) > self.expansion_limit:
                    raise ValueError(f"expansion limit exceeded for key: '{key}'")
        return ",".join(found) if found else None


def old_query(settings: dict[str, str]) -> str:
    """The query that the old table/select_field/where_field settings mean; empty when they are absent."""
    names = ("table", "select_field", "where_field")
    if not all(settings.get(name) for name in names):
        return ""
    table, select, where = (settings[name].replace("%", "%%") for name in names)
    extra = settings.get("additional_conditions", "").replace("%", "%%")
    return f"SELECT {select} FROM {table} WHERE {where} = '%s' {extra}"  # noqa: S608 (the administrator's own words)
