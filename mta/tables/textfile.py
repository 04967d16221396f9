"""Text sources of tables: postmap(1)'s `key value` lines and aliases(5)' `key: value` lines, read again on change."""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from mta.config.lines import SPACE, BadLine, LogicalLine, logical_lines
from mta.tables.base import KEY_LIMIT, Options, SpecError, Table, TableError, fold

log = logging.getLogger("postfix.tables")

# A text table is held in memory; Postfix's own advice is to use an indexed table well before this size.
FILE_LIMIT = 256 << 20
# How often, in seconds, a file's time stamp is compared. A changed table takes effect after this time at the latest.
CHECK_INTERVAL = 1.0

Content = TypeVar("Content")


class WatchedFile(Generic[Content]):
    """A file's parsed content, parsed again when the file changes. parse is called with (text, path)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: Content | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._checked = float("-inf")

    def parse(self, text: str) -> Content:
        """Turn the text into what lookups use. May raise TableError."""
        raise TypeError("parse() belongs to the table type")

    def freeze(self, content: Content) -> None:
        """Use content that came from elsewhere than the file, for good."""
        self._content, self._checked = content, float("inf")

    def content(self) -> Content:
        """The current content. Raises TableError when the file was never readable."""
        now = time.monotonic()
        if self._content is None or now - self._checked >= CHECK_INTERVAL:
            self._checked = now
            self._refresh()
        if self._content is None:
            raise TableError(f"open database {self.path}: never readable")
        return self._content

    def _refresh(self) -> None:
        stamp = self._stamp
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._stamp:
                return
            with self.path.open("rb") as file:
                data = file.read(FILE_LIMIT + 1)
        except OSError as error:
            # A file that vanished or became unreadable (a jail closed) keeps its last good content.
            if self._content is None:
                raise TableError(f"open database {self.path}: {error.strerror}") from error
            if isinstance(error, PermissionError) and stamp != self._stamp:
                log.warning("table %s has changed, and this process may not open it again: reload", self.path)
                self._stamp = stamp
            return
        if len(data) > FILE_LIMIT:
            raise TableError(f"{self.path} is larger than {FILE_LIMIT} bytes")
        self._content = self.parse(data.decode("utf-8", "surrogateescape"))
        # Remembered last: a parse that fails is tried again.
        self._stamp = stamp


def rules(text: str, path: Path) -> Iterator[LogicalLine]:
    """Logical lines of a table source; lines that continue nothing are warned about and skipped."""
    for line in logical_lines(text.split("\n")):
        if isinstance(line, BadLine):
            log.warning("%s, line %d: %s", path, line.number, line.message)
        else:
            yield line


def split_entry(text: str) -> tuple[str, str]:
    """Split `key whitespace value`; blanks inside double quotes belong to the key. ValueError says what is wrong."""
    in_quotes, end, i = False, len(text), 0
    while i < len(text):
        c = text[i]
        if c == "\\":
            i += 1
        elif c == '"':
            in_quotes = not in_quotes
        elif c in SPACE and not in_quotes:
            end = i
            break
        i += 1
    if in_quotes:
        raise ValueError(f"unbalanced '\"' in '{text}'")
    key, value = text[:end], text[end:].strip(SPACE)
    if not key or not value:
        raise ValueError("expected format: key whitespace value")
    return key, value


_GAP = re.compile(r'"(?:[^"\\]|\\.)*"|[ \t\r\n\v\f]+')
"""Blanks between the addresses of an alias, folded lines among them, or a quoted string, in which blanks count."""


def split_alias(text: str) -> tuple[str, str]:
    """Split `key: value` as aliases(5); the key may be a quoted string. ValueError says what is wrong."""
    in_quotes = False
    for i, c in enumerate(text):
        if c == '"' and not (i and text[i - 1] == "\\"):
            in_quotes = not in_quotes
        elif c == ":" and not in_quotes:
            key, value = text[:i].strip(SPACE), text[i + 1 :].strip(SPACE)
            break
    else:
        raise ValueError("expected format: name:value")
    if key.startswith('"') and key.endswith('"') and len(key) > 1:
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not key or not value:
        raise ValueError("expected format: name:value")
    return key, _GAP.sub(lambda match: match[0] if match[0].startswith('"') else " ", value)


def parse_entries(text: str, path: Path, *, aliases: bool = False) -> dict[str, str]:
    """All entries of a source by folded key; bad lines are warned about and skipped, the first of two equals wins."""
    entries = dict[str, str]()
    for line in rules(text, path):
        try:
            key, value = (split_alias if aliases else split_entry)(line.text)
        except ValueError as error:
            log.warning("%s, line %d: %s -- ignoring this line", path, line.number, error)
            continue
        if key.endswith(":") and not aliases:
            log.warning('%s, line %d: record is in "key: value" format; is this an alias file?', path, line.number)
        folded = fold(key)
        if folded in entries:
            log.warning('%s, line %d: duplicate entry: "%s"', path, line.number, key)
            continue
        entries[folded] = value
    return entries


class _Source(WatchedFile[Mapping[str, str]]):
    def __init__(self, path: Path, aliases: bool) -> None:
        super().__init__(path)
        self.aliases = aliases

    def parse(self, text: str) -> Mapping[str, str]:
        return parse_entries(text, self.path, aliases=self.aliases)


class TextTable(Table):
    """texthash:, and the source of hash:, btree: and lmdb: tables that have not been built."""

    def __init__(self, name: str, path: Path, aliases: bool) -> None:
        super().__init__(name)
        self.source = _Source(path, aliases)

    async def lookup(self, key: str) -> str | None:
        if len(key) > KEY_LIMIT:
            return None
        return self.source.content().get(fold(key))

    def sequence(self) -> Iterator[tuple[str, str]]:
        yield from self.source.content().items()


def open_text(name: str, options: Options) -> Table:
    """Open a text source. A missing file is a temporary error at lookup, as in Postfix, not a mistake in main.cf."""
    kind, _, path = name.partition(":")
    if not path:
        raise SpecError(f'expecting "{kind}:name" form instead of "{name}"')
    # What texthash: names is always in postmap(1)'s format; the others stand for what postalias(1) would build.
    table = TextTable(name, Path(options.base, path), options.aliases and kind != "texthash")
    try:
        table.source.content()
    except TableError as error:
        log.error("%s", error)
    return table
