"""Prints the catalogue of behaviours as Markdown: `python -m lab.behaviours.reference > docs/behaviours.md`."""

from __future__ import annotations

from collections.abc import Iterator

from lab.behaviours.base import Behaviour
from lab.behaviours.catalogue import DEMO, catalogue
from lab.behaviours.command import SOURCES
from lab.behaviours.where import standings

HEAD = """\
# The documented hardening behaviours

Generated from the code by `python -m lab.behaviours.reference`; do not edit.

`hardmail behaviours run` shows each one over real sockets, `--twin` also on its weakened twin, which is the same stack
with only that line turned. `hardmail behaviours show SLUG` explains one. Those marked with * are part of
`hardmail demo`.

The sources: """


def cell(text: str) -> str:
    """Text that cannot end a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """A configuration line in a cell."""
    return "`" + " ".join(text.split()).replace("|", "\\|") + "`"


def rows() -> Iterator[str]:
    """The table, a line each."""
    yield "| behaviour | source | hardened | weakened twin |"
    yield "|---|---|---|---|"
    for b in catalogue():
        mark = " *" if b.slug in DEMO else ""
        twin = cell(b.twin.shows) if b.twin else "–"
        yield f"| [{b.slug}](#{b.slug.replace('.', '')}){mark} | {cell(b.source)} | {cell(b.expectation)} | {twin} |"


def _settings(text: str) -> list[str]:
    """Each setting in one line, however many it is written on."""
    joined: list[str] = []
    for line in text.splitlines():
        if joined and line[:1].isspace():
            joined[-1] += " " + line.strip()
        elif line.strip():
            joined.append(line.strip())
    return joined


def section(behaviour: Behaviour) -> Iterator[str]:
    """A behaviour: what it is for and where its lines stand."""
    yield f"## {behaviour.slug}\n"
    yield f"{cell(behaviour.title)}. {cell(behaviour.why)}\n"
    yield f"- source: {cell(behaviour.source)}"
    yield f"- hardened: {cell(behaviour.expectation)}"
    if behaviour.twin is not None:
        yield f"- weakened twin: {cell(behaviour.twin.shows)}"
        for change in behaviour.twin.changes:
            yield f"  - in {change.file}: {', '.join(map(code, _settings(change.text)))}"
    if behaviour.needs:
        yield f"- shown with {', '.join(program.name for program in behaviour.needs)}"
    yield f"- try it: `hardmail behaviours run --twin -v {behaviour.slug}`\n"
    if behaviour.configuration:
        yield "| line | where it stands in the profile |"
        yield "|---|---|"
    for standing in standings(behaviour):
        # Without the line number: the page is about which file, and must not change with every line above.
        place = standing.place.partition(":")[0] if standing.place else f"{standing.file}, in a stack of its own"
        yield f"| {code(standing.line)} | {place} |"
    yield "" if behaviour.configuration else "It has no configuration line.\n"


def page() -> str:
    """The whole page."""
    sources = "; ".join(f"{letter} = {name.rpartition(',')[0]}" for letter, name in SOURCES.items())
    parts = [HEAD + sources + ".\n", *rows(), ""]
    for behaviour in catalogue():
        parts += section(behaviour)
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(page(), end="")
