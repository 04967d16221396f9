"""Read dovecot.conf and the files it includes into a tree, collecting every error with file and line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .errors import ConfigError
from .filters import BadFilter, normalise
from .lexer import Assign, BadLine, Begin, End, Include, logical_lines, parse
from .obsolete import NOTE, translate
from .parameters import FREE_BLOCKS, SECTIONS
from .tree import FILTERS, Node, Value
from .values import BadValue, check

MAX_DEPTH = 20
"""Files including files: deeper is taken for a loop."""

MAX_FILE = 16 << 20
"""Octets of one configuration file; a larger one is surely not a configuration."""


class Reader:
    """One reading of a configuration. ``expand``: replace ``$other`` and check ``<file`` as a starting server does;
    without it (doveconf without ``-x``) only a setting's reference to itself is replaced."""

    def __init__(self, *, expand: bool) -> None:
        self.root = Node("", "", "")
        self.errors: list[ConfigError] = []
        self.warnings: list[str] = []
        self._expand = expand
        self._open: list[Path] = []

    def read(self, path: Path) -> None:
        """Read ``path`` and what it includes into ``root``."""
        self._file(path, self.root)

    def _error(self, file: Path, line: int, text: str) -> None:
        self.errors.append(ConfigError(file, line, text))

    def _file(self, path: Path, node: Node) -> None:
        try:
            if path.stat().st_size > MAX_FILE:
                self._error(path, 0, f"larger than {MAX_FILE} bytes")
                return
            text = path.read_text("utf-8", errors="surrogateescape")
        except OSError as error:
            self._error(path, 0, f"open({path}) failed: {error.strerror}")
            return
        self._open.append(path)
        _FileReader(self, path, node).run(text)
        self._open.pop()

    def include(self, token: Include, file: Path, line: int, node: Node) -> None:
        """Read the files a pattern stands for, in sorted order, relative to the including file."""
        pattern = os.path.join(file.parent, token.pattern)  # noqa: PTH118 - an absolute pattern stays as it is
        root = Path(pattern).anchor
        if any(char in pattern for char in "*?["):
            found = sorted(Path(root or ".").glob(pattern[len(root) :]))
        else:
            found = [Path(pattern)] if Path(pattern).exists() else []
        if not found and not token.optional:
            self._error(file, line, "No matches")
        for path in found:
            if len(self._open) >= MAX_DEPTH or path in self._open:
                self._error(file, line, f"Recursive include file: {path}")
                continue
            self._file(path, node)

    def expansion(self, key: str, node: Node, value: str) -> str:
        """Replace the ``$name`` words of a bare value. Raises BadValue for an unknown name when expanding."""
        if "$" not in value:
            return value
        words = [word for word in value.replace("\t", " ").split(" ") if word]
        if not self._expand and f"${key}" not in words:
            return value
        return " ".join(self._word(key, node, word) for word in words)

    def _word(self, key: str, node: Node, word: str) -> str:
        if not word.startswith("$"):
            return word
        name = word[1:]
        if not self._expand and name != key:
            return word
        if name.startswith("ENV:"):
            return os.environ.get(name[4:], "")
        found = lookup(node, name)
        if found is None:
            raise BadValue(f"Unknown variable: {word}")
        return found


def lookup(node: Node, name: str) -> str | None:
    """The value a ``$name`` has at this point of the file: own block, enclosing blocks, default."""
    current: Node | None = node
    while current is not None:
        if name in current.settings:
            return current.settings[name].text
        parameter = SECTIONS.get(current.path, {}).get(name)
        if parameter is not None and (current.path or current.parent is None):
            return parameter.default
        current = current.parent
    return None


class _FileReader:
    """The position inside one file: its open blocks."""

    def __init__(self, reader: Reader, file: Path, node: Node) -> None:
        self._reader = reader
        self._file = file
        self._base = node
        self._node = node
        self._unknown = 0
        self._started: list[int] = []

    def run(self, text: str) -> None:
        for line in logical_lines(text):
            if line.ambiguous:
                self._reader.warnings.append(
                    f"Configuration file {self._file} line {line.number}: Ambiguous '#' character in line, "
                    "treating it as comment. Add a space before it to remove this warning.",
                )
            try:
                self._token(parse(line.text), line.number)
            except (BadLine, BadValue, BadFilter) as error:
                self._reader._error(self._file, line.number, str(error))
        if self._started:
            where = f"{self._file}:{self._started[-1]}"
            self._reader._error(self._file, 0, f"Missing '}}' (section started at {where})")

    def _token(self, token: Assign | Begin | End | Include, line: int) -> None:
        if isinstance(token, Begin):
            self._begin(token, line)
        elif isinstance(token, End):
            self._end()
        elif self._unknown:
            return
        elif isinstance(token, Include):
            self._reader.include(token, self._file, line, self._node)
        else:
            self._assign(token, line)

    def _end(self) -> None:
        if not self._started:
            raise BadLine("Unexpected '}'")
        self._started.pop()
        if self._unknown:
            self._unknown -= 1
        else:
            assert self._node.parent is not None
            self._node = self._node.parent

    def _begin(self, token: Begin, line: int) -> None:
        self._started.append(line)
        if self._unknown:
            self._unknown += 1
            return
        try:
            self._node = child(self._node, token.kind, token.name, self._file, line)
        except (BadValue, BadFilter):
            self._unknown = 1
            raise

    def _assign(self, token: Assign, line: int) -> None:
        old = translate(token) if not self._node.path else None
        if old is None:
            self._set(token, line)
            return
        if NOTE not in self._reader.warnings:
            self._reader.warnings.append(NOTE)
        for warning in old.warnings:
            self._reader.warnings.append(f"Obsolete setting in {self._file}:{line}: {warning}")
        for today in old.assigns:
            self._set(today, line)

    def _set(self, token: Assign, line: int) -> None:
        node = self._node
        *blocks, key = _split_key(token.key)
        for kind, name in zip(blocks[::2], blocks[1::2], strict=True):
            node = child(node, kind, name, self._file, line)
        parameter = SECTIONS.get(node.path, {}).get(key)
        if parameter is None and node.path not in FREE_BLOCKS:
            raise BadValue("Unknown setting: " + " { ".join([*node_kinds(node), key]))
        text = self._reader.expansion(key, node, token.value) if token.form == "bare" else token.value
        value = Value(text, self._file, line, token.form == "file")
        if parameter is not None and not value.is_file:
            check(parameter, text)
        if value.is_file and self._reader._expand:
            self._check_file(key, value)
        node.settings[key] = value
        if node.parent is None:
            self._warn_of_filters(key, line)

    def _warn_of_filters(self, key: str, line: int) -> None:
        """A filter keeps what it was given; a global setting after it changes nothing inside it."""
        earlier = next((value for block in filters_of(self._node) if (value := block.settings.get(key))), None)
        if earlier is not None:
            where = f"{earlier.file} line {earlier.line}"
            self._reader.warnings.append(
                f"{self._file} line {line}: Global setting {key} won't change the setting inside an earlier filter at "
                f"{where} (if this is intentional, avoid this warning by moving the global setting before {where})"
            )

    def _check_file(self, key: str, value: Value) -> None:
        try:
            with value.file_path().open("rb"):
                pass
        except OSError as error:
            raise BadValue(f"{key}: Can't open file {value.file_path()}: {error.strerror}") from None


def filters_of(node: Node) -> Iterator[Node]:
    """All filter blocks below a node."""
    for block in node.children:
        if block.kind in FILTERS:
            yield block
            yield from filters_of(block)


def node_kinds(node: Node) -> list[str]:
    """The kinds of the enclosing blocks that have settings of their own (filters do not)."""
    return [kind for kind in node.kinds() if kind not in FILTERS]


def _split_key(key: str) -> list[str]:
    """``plugin/quota`` is ``quota`` in ``plugin { }``, ``service/auth/user`` is ``user`` in ``service auth { }``."""
    parts = key.split("/")
    if len(parts) == 1:
        return parts
    if parts[0] in FREE_BLOCKS:
        return [parts[0], "", "/".join(parts[1:])]
    if len(parts) % 2 == 0:
        raise BadValue(f"Unknown setting: {key}")
    return parts


def child(parent: Node, kind: str, name: str, file: Path, line: int) -> Node:
    """The block ``kind name { }`` in ``parent``; an earlier one of that name is continued.

    Raises BadValue, BadFilter.
    """
    if kind in FILTERS:
        path = ""
        name = normalise(kind, name, parent)
    elif kind in FREE_BLOCKS and not parent.path:
        path = kind
        name = ""
    else:
        path = f"{parent.path}/{kind}" if parent.path else kind
        if path not in SECTIONS or (parent.path in FREE_BLOCKS):
            raise BadValue("Unknown setting: " + " { ".join([*node_kinds(parent), kind, kind]))
    found = parent.find(kind, name) if name or path in FREE_BLOCKS else None
    if found is not None:
        if kind in ("passdb", "userdb"):
            raise BadValue(f"{kind}/{name} already exists")
        return found
    node = Node(kind, name, path, parent, file, line)
    parent.children.append(node)
    return node
