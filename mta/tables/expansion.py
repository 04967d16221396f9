"""The `%s %u %d ...` templates of database tables, and what becomes of their answers: mysql_table(5), ldap_table(5)."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mta.config.errors import ConfigErrors
from mta.config.maincf import read_settings
from mta.tables.base import Options, SpecError, TableError, UnusableTable, askable

if TYPE_CHECKING:
    from mta.address.matchlist import StringList

PERCENT = re.compile(r"%(.)", re.DOTALL)
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


def fill(template: str, value: str, key: str, quote: Callable[[str], str] = str) -> str | None:
    """A template with its letters filled in; None when one cannot be, so the key is not asked or the row dropped.

    quote is applied to what is filled in, for texts in which characters have a meaning.
    """
    known = expansions(value, key)
    if any(known[letter] is None for letter in PERCENT.findall(template)):
        return None
    return PERCENT.sub(lambda match: "%" if match[1] == "%" else quote(known[match[1]] or ""), template)


def check_template(template: str, what: str) -> None:
    """SpecError for a letter that does not exist or a percent sign at the end."""
    for match in re.finditer(r"%(.?)", template, re.DOTALL):
        if not match[1] or match[1] not in _LETTERS:
            raise SpecError(f"invalid {what} template: {template}")


def read_source(path: Path) -> dict[str, str]:
    """The `name = value` settings of a table's own file. Raises SpecError with every mistake, file and line."""
    try:
        found, _warnings = read_settings(path)
    except ConfigErrors as error:
        raise SpecError(str(error)) from error
    return {name: setting.value for name, setting in found.items()}


def source_of(name: str, options: Options) -> Path | UnusableTable:
    """The settings file of `type:/path`; where it is missing, a table whose lookups say so."""
    path = Path(options.base, name.partition(":")[2])
    return path if path.is_file() else UnusableTable(name, f"open {path}: No such file or directory")


def number(settings: Mapping[str, str], name: str, default: int, path: Path) -> int:
    """A whole number out of the settings. Raises SpecError."""
    text = settings.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise SpecError(f"{path}: bad {name}: {text}")
    return int(text)


def yes(settings: Mapping[str, str], name: str, default: bool, path: Path) -> bool:
    """A yes or no out of the settings. Raises SpecError."""
    text = settings.get(name, "yes" if default else "no").lower()
    if text not in ("yes", "no"):
        raise SpecError(f"{path}: bad {name}: {text}")
    return text == "yes"


@dataclass(frozen=True)
class Rules:
    """Which keys are asked at all, and how the values found become one answer."""

    result_format: str = "%s"
    expansion_limit: int = 0
    domains: "StringList | None" = None

    @classmethod
    def load(cls, path: Path, settings: Mapping[str, str], options: Options) -> "Rules":
        """From a table's settings. Raises SpecError."""
        result_format = settings.get("result_format") or settings.get("result_filter") or "%s"
        check_template(result_format, "result_format")
        return cls(result_format, number(settings, "expansion_limit", 0, path), _domains(path, settings, options))

    async def eligible(self, key: str) -> bool:
        """Whether a key is asked. `domain = a b c` limits lookups to user@domain keys in these. Raises TableError."""
        if not askable(key) or fill(self.result_format, "-@-", key) is None:
            return False
        if self.domains is None:
            return True
        local, _, domain = key.rpartition("@")
        return local != "" and domain != "" and await self.domains.match(domain)

    def combine(self, values: Iterable[str], key: str) -> str | None:
        """One comma-separated answer. Raises TableError when expansion_limit is exceeded."""
        found = list[str]()
        for value in values:
            text = fill(self.result_format, value, key) if value else None
            if text is None:
                continue
            found.append(text)
            if self.expansion_limit and len(found) > self.expansion_limit:
                raise TableError(f"expansion limit exceeded for key: '{key}'")
        return ",".join(found) if found else None


def _domains(path: Path, settings: Mapping[str, str], options: Options) -> "StringList | None":
    text = settings.get("domain", "")
    if not text:
        return None
    # mta.address stands on the tables, so it cannot be imported before they are.
    from mta.address.matchlist import StringList, read_patterns

    try:
        return StringList(f"{path}: domain", read_patterns(text, options.config))
    except (ConfigErrors, ValueError) as error:
        raise SpecError(f"{path}: domain: {error}") from error
