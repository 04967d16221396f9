"""README, CHANGELOG and docs/ as parsed Markdown (CommonMark with tables)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PARSER = MarkdownIt("commonmark").enable("table")


def pages() -> list[Path]:
    """Everything that a reader may open."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def tokens(page: Path) -> list[Token]:
    """All tokens, those inside of lines too."""
    return list(_flat(PARSER.parse(page.read_text(encoding="utf-8"))))


def _flat(found: Iterable[Token]) -> Iterator[Token]:
    for token in found:
        yield token
        yield from _flat(token.children or ())


def links(page: Path) -> Iterator[str]:
    """Targets of links and pictures."""
    for token in tokens(page):
        target = (
            token.attrGet("href")
            if token.type == "link_open"
            else token.attrGet("src")
            if token.type == "image"
            else None
        )
        if target:
            yield str(target)


def anchors(page: Path) -> list[str]:
    """What `#...` may name: headings as GitHub spells them."""
    found, opened = list[str](), False
    for token in tokens(page):
        if token.type == "heading_open":
            opened = True
        elif opened and token.type == "inline":
            text = "".join(child.content for child in token.children or () if child.type in ("text", "code_inline"))
            found.append(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
            opened = False
    return found
