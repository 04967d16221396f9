"""What a lookup table is: one method, and the promises every type keeps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from mta.config import MainConfig

# Longer keys are not looked up: no address, host name or header this long is real, and patterns would crawl.
KEY_LIMIT = 110_000


class TableError(Exception):
    """A lookup could not be answered now (file missing, server away, bad reply): the caller defers, never guesses."""


class Table(ABC):
    """One lookup table, `type:name`.

    exact: whether partial keys (`user`, `@domain`, `domain`) may be asked. Pattern tables (regexp, pcre, cidr)
    see whole keys only, because a pattern written for an address would match its parts by accident.
    """

    exact = True

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    async def lookup(self, key: str) -> str | None:
        """The value for a key; None when there is none. Raises TableError."""

    def sequence(self) -> Iterator[tuple[str, str]]:
        """All (key, value) pairs. Raises TableError for types that cannot tell."""
        raise TableError(f"table {self.name}: sequence operation is not supported")

    async def update(self, key: str, value: str) -> None:
        """Store a value under a key. Raises TableError for types that cannot."""
        raise TableError(f"{self.name}: this table type cannot be changed")

    async def delete(self, key: str) -> bool:
        """Remove a key; whether it was there. Raises TableError for types that cannot."""
        raise TableError(f"{self.name}: this table type cannot be changed")

    async def aclose(self) -> None:  # noqa: B027 (most tables hold nothing open)
        """Give up connections and files; a later lookup opens them again."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class UnusableTable(Table):
    """A table that could not be opened: every lookup fails temporarily, with the reason."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name)
        self.reason = reason

    async def lookup(self, key: str) -> str | None:
        raise TableError(f"{self.name}: {self.reason}")


class SpecError(ValueError):
    """A `type:name` that can never work: unknown type or bad syntax. A mistake in the configuration."""


Opener = Callable[[str, "Options"], Table]


class Options:
    """How tables are opened.

    aliases: text sources are in `key: value, value` format, as aliases(5). base: directory for relative paths.
    proxy: the socket of proxymap(8), which then answers for `proxy:` tables; None: they are opened in this process.
    config: main.cf, where a table type needs more of it. open: opens a nested `type:name` with the same options.
    """

    def __init__(
        self,
        opener: Callable[[str, "Options"], Table],
        *,
        aliases: bool = False,
        base: str = "/",
        proxy: Path | None = None,
        config: MainConfig | None = None,
    ) -> None:
        self._opener = opener
        self.aliases = aliases
        self.base = base
        self.proxy = proxy
        self.config = config

    def open(self, spec: str) -> Table:
        """Open a table that is part of another. Raises SpecError."""
        return self._opener(spec, self)


def askable(key: str) -> bool:
    """Whether a database can be asked for a key: UTF-8 without NUL and not too long; Postfix skips others too."""
    if len(key) > KEY_LIMIT or "\0" in key:
        return False
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def fold(key: str) -> str:
    """A key as fixed-string tables compare it: case does not matter, also beyond ASCII."""
    return key.lower() if key.isascii() else key.casefold()
