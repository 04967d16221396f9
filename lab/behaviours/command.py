"""`hardmail behaviours list | show | run`: the catalogue, one behaviour explained, and the score."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lab.behaviours.base import Behaviour, Change, Outcome
from lab.behaviours.catalogue import catalogue, find
from lab.behaviours.processes import StackFailed
from lab.behaviours.runner import Run, Shown, run
from lab.behaviours.stack import Lab
from lab.behaviours.where import own_lines, standings

SOURCES = {
    "D": "Securing Debian, section",
    "T": "Mailserver Teil 2, slide",
    "L": "LPI 322.2, section",
    "P": "Wie richte ich einen sicheren Mailserver ein?,",
}
LINE_LENGTH = 100
STYLES = {Outcome.HARDENED: "green", Outcome.OPEN: "yellow", Outcome.FAILED: "bold red"}


def chosen(slugs: Sequence[str]) -> tuple[Behaviour, ...]:
    """These behaviours, or all. Raises KeyError for an unknown slug."""
    return tuple(map(find, slugs)) if slugs else catalogue()


def described(behaviour: Behaviour) -> str:
    """What `hardmail behaviours show` prints."""
    lines = [f"{behaviour.slug}: {behaviour.title}", ""]
    for source in behaviour.source.split("; "):
        letter, _, section = source.partition(" ")
        lines.append(f"Source:   {SOURCES[letter]} {section}" if letter in SOURCES else f"Source:   {source}")
    lines += ["", *textwrap.wrap(behaviour.why, LINE_LENGTH), "", "Configuration:"]
    width = max((len(standing.line) for standing in standings(behaviour)), default=0)
    for standing in standings(behaviour):
        place = standing.place or f"{standing.file}, in this behaviour's own stack"
        lines.append(f"    {standing.line:<{width}}  ({place})")
    if not behaviour.configuration:
        lines.append("    none: it cannot be switched off but by the twin")
    if more := own_lines(behaviour):
        lines += ["", "To make it visible, its own stack also has:", *_changes(more)]
    lines += ["", f"Hardened: {behaviour.expectation}"]
    if behaviour.twin is None:
        lines.append("Weakened: it has no twin")
    else:
        lines += [f"Weakened: {behaviour.twin.shows}", "", "The weakened twin:", *_changes(behaviour.twin.changes)]
    return "\n".join(lines)


def _changes(changes: Sequence[Change]) -> list[str]:
    return [
        line for change in changes for line in (f"  {change.file}", *(f"    {t}" for t in change.text.splitlines()))
    ]


def run_command(slugs: Sequence[str], *, twins: bool, as_json: bool, verbose: bool) -> int:
    """Run these behaviours, or all; 0 if every one works, 1 if one does not, 64 for an unknown slug."""
    console = Console(stderr=as_json, highlight=False)
    try:
        behaviours = chosen(slugs)
    except KeyError as error:
        Console(stderr=True).print(f"hardmail behaviours: {error} is none; `hardmail behaviours list` shows them all")
        return os.EX_USAGE
    start = time.monotonic()
    try:
        everything = asyncio.run(_run(behaviours, console, twins=twins))
    except StackFailed as error:
        Console(stderr=True, markup=False).print(f"hardmail behaviours: the stack does not start: {error}")
        return 1
    seconds = time.monotonic() - start
    if as_json:
        print(json.dumps(_as_json(everything, seconds), indent=2))
    else:
        _show(console, everything, seconds, verbose=verbose)
    return 0 if all(shown.works or shown.missing for shown in everything) else 1


async def _run(behaviours: Sequence[Behaviour], console: Console, *, twins: bool) -> list[Shown]:
    needed = tuple(dict.fromkeys(name for b in behaviours if b.shared for name in b.instances))
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("Behaviours", total=len(behaviours))
        if not needed:
            return await run(behaviours, None, twins=twins, ended=lambda _: progress.advance(task))
        async with Lab.start(needed) as lab:
            return await run(behaviours, lab, twins=twins, ended=lambda _: progress.advance(task))


def _show(console: Console, everything: Sequence[Shown], seconds: float, *, verbose: bool) -> None:
    for shown in everything:
        if not shown.missing and (verbose or not shown.works):
            _show_wire(console, shown)
    table = Table()
    for heading in ("behaviour", "hardened stack", "weakened twin", "s", "works"):
        table.add_column(heading, no_wrap=True)
    for shown in everything:
        runs = [one for one in (shown.hardened, shown.twin) if one is not None]
        table.add_row(
            shown.behaviour.slug,
            _cell(shown.hardened),
            _cell(shown.twin),
            f"{sum(one.seconds for one in runs):.1f}",
            _verdict(shown),
        )
    console.print(table)
    works, twins = sum(shown.works for shown in everything), sum(shown.twin is not None for shown in everything)
    console.print(f"{works} of {len(everything)} behaviours work, {twins} weakened twins run, {seconds:.1f} s")
    for shown in everything:
        if shown.missing:
            console.print(
                f"{shown.behaviour.slug} cannot be shown here without {', '.join(shown.missing)}", markup=False
            )


def _verdict(shown: Shown) -> str:
    if shown.missing:
        return "[yellow]not here[/]"
    return "[green]yes[/]" if shown.works else "[bold red]NO[/]"


def _cell(one: Run | None) -> str:
    if one is None:
        return "–"
    return f"[{STYLES[one.finding.outcome]}]{one.finding.outcome.value}[/]"


def _show_wire(console: Console, shown: Shown) -> None:
    console.print(f"{shown.behaviour.slug}: {shown.behaviour.title}", markup=False, style="bold")
    for label, one in (("hardened stack", shown.hardened), ("weakened twin", shown.twin)):
        if one is not None:
            said = f"  {label}: {one.finding.outcome.value}: {one.finding.said}"
            console.print(said, markup=False, style=STYLES[one.finding.outcome])
            for line in one.transcript.lines:
                console.print(f"    {line}", markup=False, soft_wrap=True)
    console.print()


def _as_json(everything: Sequence[Shown], seconds: float) -> dict[str, object]:
    return {
        "works": all(shown.works or shown.missing for shown in everything),
        "seconds": round(seconds, 1),
        "behaviours": [shown.as_json() for shown in everything],
    }
