"""Tables without a file: inline:, static:, environ:, fail:, unix: and nis:."""

import grp
import logging
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from mta.config.lines import SPACE, split_list, split_setting
from mta.config.mastercf import strip_braces
from mta.tables.base import Options, SpecError, Table, TableError, fold

log = logging.getLogger("postfix.tables")


class InlineTable(Table):
    """inline:{ key=value, { key = text with blanks } }, postconf(5)."""

    def __init__(self, name: str, entries: dict[str, str]) -> None:
        super().__init__(name)
        self.entries = entries

    async def lookup(self, key: str) -> str | None:
        return self.entries.get(fold(key))

    def sequence(self) -> Iterator[tuple[str, str]]:
        yield from self.entries.items()


def braced_words(spec: str, wanted: str) -> list[str]:
    """The comma- or blank-separated words of `type:{ ... }`. Raises SpecError showing the wanted form."""
    kind, _, text = spec.partition(":")
    problem = f'bad syntax: "{spec}"; need "{kind}:{wanted}"'
    if not text.startswith("{"):
        raise SpecError(problem)
    try:
        words = split_list(strip_braces(text))
    except ValueError as error:
        raise SpecError(problem) from error
    if not words:
        raise SpecError(problem)
    return words


def open_inline(name: str, _options: Options) -> Table:
    """inline:; the last of two equal keys wins. Raises SpecError."""
    entries = dict[str, str]()
    for word in braced_words(name, "{name=value...}"):
        try:
            key, value = _split_quoted(strip_braces(word))
        except ValueError as error:
            raise SpecError(f'{error}: "{name}"; need "inline:{{name=value...}}"') from error
        entries[fold(key)] = value
    return InlineTable(name, entries)


def _split_quoted(text: str) -> tuple[str, str]:
    """Split `key = value` where the key may hold `=` and blanks inside double quotes."""
    if '"' not in text:
        return split_setting(text)
    in_quotes, i = False, 0
    while i < len(text) and (in_quotes or text[i] != "="):
        if text[i] == "\\":
            i += 1
        elif text[i] == '"':
            in_quotes = not in_quotes
        i += 1
    key = text[:i].strip(SPACE)
    if not key:
        raise ValueError("missing attribute name")
    if i >= len(text):
        raise ValueError("missing '=' after attribute name")
    return key, text[i + 1 :].strip(SPACE)


class StaticTable(Table):
    """static:text or static:{ text }: the same answer for every key."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(name)
        self.value = value

    async def lookup(self, key: str) -> str | None:
        return self.value


def open_static(name: str, _options: Options) -> Table:
    """static:. Raises SpecError."""
    text = name.partition(":")[2]
    try:
        return StaticTable(name, strip_braces(text))
    except ValueError as error:
        raise SpecError(f"bad static:name syntax: {error}") from error


class FailTable(Table):
    """fail:text: every lookup fails temporarily; for tests and for closing a service politely."""

    async def lookup(self, key: str) -> str | None:
        raise TableError(f"{self.name}: lookup error")


def open_fail(name: str, _options: Options) -> Table:
    """fail:."""
    return FailTable(name)


class EnvironTable(Table):
    """environ: the process's environment."""

    async def lookup(self, key: str) -> str | None:
        return os.environ.get(key) if "=" not in key and "\0" not in key else None


def open_environ(name: str, _options: Options) -> Table:
    """environ:."""
    return EnvironTable(name)


ACCOUNTS = Path("/etc/passwd")


class UnixTable(Table):
    """unix:passwd.byname and unix:group.byname: the system's own users and groups."""

    async def lookup(self, key: str) -> str | None:
        if not key or "\0" in key:
            return None
        try:
            if self.name == "unix:passwd.byname":
                user = pwd.getpwnam(key)
                return f"{user.pw_name}:x:{user.pw_uid}:{user.pw_gid}:{user.pw_gecos}:{user.pw_dir}:{user.pw_shell}"
            group = grp.getgrnam(key)
            return f"{group.gr_name}:x:{group.gr_gid}:{','.join(group.gr_mem)}"
        except (KeyError, ValueError):
            self._demand_database()
            return None

    @staticmethod
    def _demand_database() -> None:
        """Nobody is unknown where nobody can be looked up: useradd(8) replaces the file, a jail knows the old one."""
        try:
            with ACCOUNTS.open("rb"):
                return
        except FileNotFoundError:
            return  # a system with users elsewhere
        except OSError as error:
            raise TableError(f"{ACCOUNTS}: {error.strerror}; have the mail system reloaded") from error


def open_unix(name: str, _options: Options) -> Table:
    """unix:. Raises SpecError for other tables than users and groups."""
    if name not in ("unix:passwd.byname", "unix:group.byname"):
        raise SpecError(f"unknown table: {name}")
    return UnixTable(name)


class EmptyTable(Table):
    """A table that holds nothing."""

    async def lookup(self, key: str) -> str | None:
        return None


def open_nis(name: str, _options: Options) -> Table:
    """nis:. Without a NIS domain, and there is none any more, Postfix too finds nothing in it."""
    log.debug("%s: NIS domain name not set - NIS lookups disabled", name)
    return EmptyTable(name)
