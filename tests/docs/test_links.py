"""The documentation holds together: every link leads somewhere, every page is reachable, what is generated is fresh."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest

from lab import diagrams
from tests.docs.markdown import ROOT, anchors, links, pages, tokens


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = unquote(target).partition("#")
        to = (page.parent / file).resolve() if file else page
        assert to.exists(), target
        assert to.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(to), f"{target}: {anchors(to)}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_one_title_and_no_heading_twice(page: Path) -> None:
    levels = [token.tag for token in tokens(page) if token.type == "heading_open"]
    assert levels[0] == "h1"
    assert levels.count("h1") == 1
    if page.name != "CHANGELOG.md":
        assert len(set(anchors(page))) == len(anchors(page))


def test_every_page_is_reachable_from_the_first() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for target in links(page):
            file = unquote(target).partition("#")[0]
            if file and "://" not in target:
                waiting.append((page.parent / file).resolve())
    assert set(pages()) <= reached


def test_diagrams_are_up_to_date() -> None:
    assert (ROOT / "docs" / "diagrams.md").read_text() == diagrams.page(), "python -m lab.diagrams > docs/diagrams.md"
