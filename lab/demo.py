"""`hardmail demo`: the whole stack comes up, real mail goes through it, and each behaviour is shown on the wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from lab.behaviours import Behaviour, Outcome, ProbeFailed, demonstrated, find
from lab.behaviours.processes import StackFailed
from lab.behaviours.runner import Run, Shown, run
from lab.behaviours.stack import Lab
from lab.wire import Transcript

# How many lines of a transcript stand under a behaviour; --json has them all.
LINES_SHOWN = 14
STYLES = {Outcome.HARDENED: "green", Outcome.OPEN: "red", Outcome.FAILED: "bold red"}


def demo(only: Sequence[str], *, as_json: bool, keep: bool) -> int:
    """Run the demonstration; 0 if every behaviour works, 1 if one does not, 64 for an unknown slug."""
    console = Console(stderr=as_json, highlight=False)
    try:
        behaviours = tuple(map(find, only)) if only else demonstrated()
    except KeyError as error:
        console.print(f"hardmail demo: no behaviour is called {error}; `hardmail behaviours list` shows them all")
        return 64
    try:
        return asyncio.run(_demo(behaviours, console, as_json=as_json, keep=keep))
    except StackFailed as error:
        console.print(f"hardmail demo: the stack does not start: {escape(str(error))}")
        return 1


async def _demo(behaviours: Sequence[Behaviour], console: Console, *, as_json: bool, keep: bool) -> int:
    start = time.monotonic()
    needed = [name for b in behaviours if b.shared for name in b.instances]
    instances = ("nullclient", "mailhost", "outside") if needed else ()
    story = Transcript()
    async with Lab.start(instances, (), keep=keep) as lab:
        up = time.monotonic() - start
        if instances:
            console.print(
                f"The stack is up in {up:.1f} s: null client {lab.where('nullclient.smtp')}, "
                f"mail host {lab.where('mailhost.smtp')}, outside world {lab.where('outside.smtp')}\n"
            )
            try:
                await send_real_mail(lab, story)
                told = True
            except ProbeFailed as error:
                story.note(str(error))
                told = False
            _show_story(console, story, told)
        else:
            told = True
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

            def ended(shown: Shown) -> None:
                progress.advance(task)
                _show_behaviour(progress.console, shown)

            everything = await run(behaviours, lab if instances else None, ended=ended)
        seconds = time.monotonic() - start
        if keep:
            console.print(f"Kept: {lab.directory}")
    _show_score(console, everything, seconds)
    if as_json:
        print(json.dumps(_as_json(everything, story, told, seconds), indent=2))
    return 0 if told and all(shown.works for shown in everything) else 1


async def send_real_mail(lab: Lab, evidence: Transcript) -> None:
    """sendmail -> null client -> STARTTLS and AUTH -> mail host -> LMTP -> IMAPS. Raises ProbeFailed."""
    alice, token = lab.user("alice"), lab.token()
    evidence.note(f"echo ... | sendmail -i {alice.address}")
    sent = await lab.sendmail("nullclient", "-i", alice.address, message=f"Subject: {token}\n\nHello, alice.\n")
    if sent.status:
        raise ProbeFailed(f"sendmail ends with {sent.status}: {sent.errors.strip()}")
    mail = await lab.arrived(alice, token, evidence)
    headers = mail.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").replace("\r\n", "\n")
    for proof in ("ESMTPSA", "LMTP"):
        if proof not in headers:
            raise ProbeFailed(f"the mail did not come with {proof}")
    evidence.note("the mail as alice reads it over IMAPS")
    for line in headers.split("\n"):
        evidence.server(line.encode(), tls=True)


def _show_story(console: Console, story: Transcript, told: bool) -> None:
    console.print(
        "[bold]Real mail[/]: sendmail → null client → STARTTLS + AUTH → mail host → LMTP → IMAPS",
        "[green]arrived[/]" if told else "[bold red]did not arrive[/]",
    )
    _show_wire(console, story, limit=40)


def _show_behaviour(console: Console, shown: Shown) -> None:
    mark = "[green]✔[/]" if shown.works else "[bold red]✘[/]"
    title, source = escape(shown.behaviour.title), escape(shown.behaviour.source)
    console.print(f"{mark} [bold]{shown.behaviour.slug}[/]  {title}  [dim]{source}[/]")
    for change in shown.behaviour.configuration:
        for line in change.text.splitlines():
            console.print(Padding(Text(f"{change.file}: {line}", style="cyan"), (0, 0, 0, 4)))
    for label, one in (("hardened stack", shown.hardened), ("weakened twin", shown.twin)):
        if one is not None:
            _show_run(console, label, one)
    console.print()


def _show_run(console: Console, label: str, one: Run) -> None:
    outcome = one.finding.outcome
    console.print(
        Padding(
            Text.assemble(
                (f"{label}: ", "bold"),
                (outcome.value, STYLES[outcome]),
                f"  {one.finding.said}  ",
                (f"{one.seconds:.1f} s", "dim"),
            ),
            (0, 0, 0, 4),
        )
    )
    _show_wire(console, one.transcript, LINES_SHOWN)


def _show_wire(console: Console, transcript: Transcript, limit: int) -> None:
    # What a server announces is shown only as far as it matters to hardening.
    lines = [line for line in transcript.lines if not (line.text.startswith("250-") and not _telling(line.text))]
    # The end of a dialogue decides; its beginning says where it took place.
    shown = lines if len(lines) <= limit else [*lines[:2], None, *lines[3 - limit :]]
    for line in shown:
        if line is None:
            text = Text(f"... {len(lines) - limit + 1} lines more", style="dim")
        else:
            style = {"C": "blue", "S": "magenta", "*": "dim"}[line.direction]
            text = Text(str(line), style=style)
        text.no_wrap, text.overflow = True, "ellipsis"
        console.print(Padding(text, (0, 0, 0, 8)))


def _telling(keyword: str) -> bool:
    return "AUTH" in keyword or "STARTTLS" in keyword


def _show_score(console: Console, everything: Sequence[Shown], seconds: float) -> None:
    table = Table(title="The documented behaviours", title_justify="left")
    for heading in ("behaviour", "hardened stack", "weakened twin", "works"):
        table.add_column(heading)
    for shown in everything:
        table.add_row(
            shown.behaviour.slug,
            _cell(shown.hardened),
            _cell(shown.twin) if shown.behaviour.twin else "–",
            "[green]yes[/]" if shown.works else "[bold red]NO[/]",
        )
    console.print(table)
    works, twins = sum(shown.works for shown in everything), sum(shown.twin is not None for shown in everything)
    console.print(f"[bold]{works} of {len(everything)} behaviours work[/], {twins} weakened twins run, {seconds:.1f} s")


def _cell(one: Run | None) -> str:
    if one is None:
        return "–"
    outcome = one.finding.outcome
    return f"[{STYLES[outcome]}]{outcome.value}[/]"


def _as_json(everything: Sequence[Shown], story: Transcript, told: bool, seconds: float) -> dict[str, Any]:
    return {
        "works": told and all(shown.works for shown in everything),
        "seconds": round(seconds, 1),
        "real_mail": {"arrived": told, "wire": [str(line) for line in story.lines]},
        "behaviours": [shown.as_json() for shown in everything],
    }
