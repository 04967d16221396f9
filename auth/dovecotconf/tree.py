"""The tree a dovecot.conf is read into: blocks inside blocks, each setting with the place it was written at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

FILTERS = ("protocol", "local", "local_name", "remote")
"""Blocks that narrow global settings to some connections instead of holding settings of their own."""


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as written: the text after expansion, whether it names a file (``<``), and where it stands."""

    text: str
    file: Path
    line: int
    is_file: bool = False

    def file_path(self) -> Path:
        """The file a ``<name`` value points to, relative to the file that says so."""
        return self.file.parent / self.text


@dataclass(slots=True)
class Node:
    """A block; ``path`` is its section in the parameter table, ``""`` for the top level and for filters."""

    kind: str
    name: str
    path: str
    parent: Node | None = None
    file: Path = Path()
    line: int = 0
    settings: dict[str, Value] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def find(self, kind: str, name: str) -> Node | None:
        """The first child block of this kind and name."""
        return next((child for child in self.children if child.kind == kind and child.name == name), None)

    def blocks(self, kind: str) -> list[Node]:
        """All child blocks of one kind, in the order of the file."""
        return [child for child in self.children if child.kind == kind]

    def kinds(self) -> list[str]:
        """The kinds of the enclosing blocks, outermost first, as error messages name them."""
        node: Node | None = self
        names: list[str] = []
        while node is not None and node.kind:
            names.insert(0, node.kind)
            node = node.parent
        return names
