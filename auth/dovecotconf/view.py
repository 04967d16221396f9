"""Typed reading of one block's settings; values not written have the default of the parameter table."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from pathlib import Path

from .parameters import SECTIONS, Parameter
from .tree import Node, Value
from .values import PARSERS, parse_boolean

MAX_VALUE_FILE = 1 << 20
"""Octets of a file taken as a value with ``<``: certificates and keys are far smaller."""


class View:
    """Getters over a block. ``layers`` are narrower blocks (filters) that win over ``node``, the narrowest last."""

    def __init__(self, node: Node, layers: Iterable[Node] = ()) -> None:
        self.node = node
        self._layers = [*reversed(list(layers)), node]

    @property
    def name(self) -> builtins.str:
        """The block's name; "" for unnamed ones."""
        return self.node.name

    def parameter(self, name: builtins.str) -> Parameter:
        """The declared row of a setting. Raises KeyError for a name that dovecot.conf does not have."""
        return SECTIONS[self.node.path][name]

    def value(self, name: builtins.str) -> Value | None:
        """The setting as written, None when it has its default."""
        return next((layer.settings[name] for layer in self._layers if name in layer.settings), None)

    def is_set(self, name: builtins.str) -> builtins.bool:
        """Whether the file says anything about the setting."""
        return self.value(name) is not None

    def raw(self, name: builtins.str) -> builtins.str:
        """The text of a setting; the file's name for a ``<file`` value."""
        value = self.value(name)
        return self.parameter(name).default if value is None else value.text

    def str(self, name: builtins.str) -> builtins.str:
        """The text of a setting; the file's contents for a ``<file`` value (raises OSError when unreadable)."""
        value = self.value(name)
        if value is not None and value.is_file:
            with value.file_path().open("rb") as file:
                return file.read(MAX_VALUE_FILE).decode("utf-8", "surrogateescape")
        return self.raw(name)

    def path(self, name: builtins.str) -> Path | None:
        """The file of a ``<file`` value or of a plain absolute name; None when the setting is empty."""
        value = self.value(name)
        if value is None or not value.text:
            return None
        return value.file_path().absolute() if value.is_file else Path(value.text)

    def bool(self, name: builtins.str) -> builtins.bool:
        """A ``yes``/``no`` setting."""
        return parse_boolean(self.raw(name))

    def int(self, name: builtins.str) -> builtins.int:
        """A number, port or mode."""
        return PARSERS[self.parameter(name).kind](self.raw(name))

    def size(self, name: builtins.str) -> builtins.int:
        """Octets."""
        return self.int(name)

    def seconds(self, name: builtins.str) -> float:
        """Seconds."""
        return float(self.int(name))

    def list(self, name: builtins.str) -> builtins.list[builtins.str]:
        """Words separated by white space."""
        return self.str(name).split()

    def blocks(self, kind: builtins.str) -> builtins.list[View]:
        """Inner blocks of one kind, in the order of the file."""
        return [View(block) for layer in reversed(self._layers) for block in layer.blocks(kind)]
