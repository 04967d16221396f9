"""A configuration as doveconf(1) prints it: all of it, what differs from the defaults, or one name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .config import DovecotConfig
from .defaults import DEFAULT_SERVICES
from .parameters import FREE_BLOCKS, GLOBAL, SECTIONS, Parameter
from .services import merged
from .tree import FILTERS, Node, Value
from .values import PARSERS, quoted, show
from .view import View

HIDDEN = "# hidden, use -P to show it"
_ALWAYS = {"namespace": ("location", "prefix")}
"""Settings Dovecot prints of every block of a kind, set or not."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to print. ``scope``: "all", "changed" (differs from the default), "set" (also what is set to its default),
    "defaults" (as if the file were empty). ``hidden``: settings that should not be changed; ``secrets``: passwords."""

    scope: str = "all"
    hidden: bool = False
    secrets: bool = False
    expand: bool = False
    simple: bool = False
    names: bool = True


Item = tuple[str, list[str]]
"""Sorting key (the setting's path) and lines."""


class Dump:
    """One printing of a configuration."""

    def __init__(self, config: DovecotConfig, options: Options) -> None:
        self._config = config
        self._options = options
        self._everything = options.scope in ("all", "defaults")

    def lines(self) -> Iterator[str]:
        """The whole configuration."""
        items = [*self._settings(), *self._blocks()]
        for _, lines in sorted(items, key=lambda item: item[0]):
            yield from lines
        if self._options.scope != "defaults":
            for block in self._config.root.children:
                if block.kind in FILTERS:
                    yield from self._filter(block)

    def named(self, path: str) -> Iterator[str]:
        """One setting (``mail_location``, ``service/auth/user``) or all blocks of a kind (``service``, ``plugin``)."""
        if path in GLOBAL:
            yield self._line(path, self._text(self._config, GLOBAL[path]), self._options.names)
            return
        found = [lines for key, lines in sorted(self._blocks()) if key.startswith(f"{path}/")]
        for lines in found:
            yield from lines
        text = self._inner(path) if not found else None
        if text is not None:
            yield self._line(path, text, self._options.names)

    def _line(self, name: str, text: str, names: bool = True) -> str:
        if not names:
            return text
        return f"{name}={text}" if self._options.simple else f"{name} = {text}"

    def _inner(self, path: str) -> str | None:
        kind, _, rest = path.partition("/")
        if kind in FREE_BLOCKS:
            node = self._config.root.find(kind, "")
            value = node.settings.get(rest) if node is not None else None
            return None if value is None else self._value_text(value)
        *blocks, name = rest.split("/")
        if kind != "service" or not blocks:
            return None
        node = merged(self._config, blocks[0])
        for inner_kind, inner_name in zip(blocks[1::2], blocks[2::2], strict=False):
            node = node.find(inner_kind, inner_name) if node is not None else None
        if node is None or name not in SECTIONS[node.path]:
            return None
        return self._text(View(node), SECTIONS[node.path][name])

    # Settings

    def _settings(self) -> list[Item]:
        view = self._config
        return [
            (row.name, [self._line(row.name, self._text(view, row))])
            for row in GLOBAL.values()
            if self._wanted(view, row)
        ]

    def _wanted(self, view: View, row: Parameter) -> bool:
        if row.page.startswith("hardmail/") and not view.is_set(row.name):
            return False
        if self._everything:
            return self._options.hidden or not row.hidden
        value = view.value(row.name)
        if value is None:
            return False
        if self._options.scope == "set":
            return True
        return value.is_file or _differs(row, value.text)

    def _text(self, view: View, row: Parameter) -> str:
        value = None if self._options.scope == "defaults" else view.value(row.name)
        if row.secret and not self._options.secrets and value is not None and value.text:
            return HIDDEN
        if value is None:
            return show(row, row.default)
        if value.is_file:
            return view.str(row.name) if self._options.expand else f"<{value.text}"
        return show(row, value.text)

    def _value_text(self, value: Value) -> str:
        return f"<{value.text}" if value.is_file else quoted(value.text)

    # Blocks

    def _blocks(self) -> Iterator[Item]:
        root = self._config.root
        if self._options.scope == "defaults":
            root = Node("", "", "")
        counts: dict[str, int] = {}
        for block in root.children:
            if block.kind in FILTERS or block.kind == "service":
                continue
            lines = self._block(block)
            if lines:
                number = counts[block.kind] = counts.get(block.kind, 0) + 1
                named = block.kind == "namespace" and block.name
                yield f"{block.kind}/{block.name if named else f'{number:04d}'}/", lines
        written = {block.name: block for block in root.blocks("service")}
        names = [*DEFAULT_SERVICES, *written] if self._everything else list(written)
        for name in dict.fromkeys(names):
            node = written.get(name) if not self._everything else merged(self._config, name)
            if self._options.scope == "defaults":
                node = DEFAULT_SERVICES.get(name)
            if node is not None and (lines := self._block(node)):
                yield f"service/{name}/", lines

    def _block(self, node: Node) -> list[str]:
        items = self._items(node)
        if not items:
            return []
        body = [f"  {line}" for _, lines in sorted(items, key=lambda item: item[0]) for line in lines]
        name = "" if node.kind in ("passdb", "userdb") else node.name
        name = name if not any(char in name for char in ' \t"{') else f'"{name}"'
        return [f"{node.kind} {name} {{" if name else f"{node.kind} {{", *body, "}"]

    def _items(self, node: Node) -> list[Item]:
        if node.path in FREE_BLOCKS:
            return [(key, [self._line(key, self._value_text(value))]) for key, value in node.settings.items()]
        items: list[Item] = []
        if node.kind in ("passdb", "userdb") and node.name and not self._everything:
            items.append(("name", [self._line("name", node.name)]))
        for row in SECTIONS[node.path].values():
            if self._shown(node, row):
                items.append((row.name, [self._line(row.name, self._text(View(node), row))]))
        for child in node.children:
            if lines := self._block(child):
                items.append((f"{child.kind}/{child.name}/", lines))
        return items

    def _shown(self, node: Node, row: Parameter) -> bool:
        if row.name in ("name", "path") and node.kind not in ("passdb", "userdb"):
            return row.name in node.settings and not node.name
        if self._everything:
            return self._options.hidden or not row.hidden
        if row.name in _ALWAYS.get(node.kind, ()):
            return True
        if row.name not in node.settings:
            return False
        if node.kind in ("passdb", "userdb") and self._options.scope == "changed":
            return _differs(row, node.settings[row.name].text)
        return True

    def _filter(self, node: Node) -> list[str]:
        body: list[str] = []
        view = View(node)
        for row in sorted(GLOBAL.values(), key=lambda row: row.name):
            if row.name in node.settings:
                body.append(self._line(row.name, self._text(view, row)))
        for child in node.children:
            body += self._filter(child) if child.kind in FILTERS else self._block(child)
        if not body:
            return []
        return [f"{node.kind} {node.name} {{", *(f"  {line}" for line in body), "}"]


def _differs(row: Parameter, text: str) -> bool:
    if row.kind in PARSERS:
        parse = PARSERS[row.kind]
        return bool(parse(text) != parse(row.default))
    return text != row.default
