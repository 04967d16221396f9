"""`hardmail lab`: the exercises."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab.commands.options import DIRECTORY

if TYPE_CHECKING:
    from lab.exercises.work import Work

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
place = click.option(
    "--dir", "directory", type=DIRECTORY, help="The exercise in this directory (default: the one started last)."
)
speech = click.option(
    "--lang", "lang", type=click.Choice(["en", "de"]), help="English or German (default: as LC_ALL, LC_MESSAGES, LANG)."
)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds --dir and --lang."""
    return place(speech(command))


@click.group()
def lab() -> None:
    """Work through the exercises: edit real files, talk to real sockets, have the result checked on the wire.

    \b
    Example:
      hardmail lab start 12.1
      hardmail lab check
    """


@lab.command("list")
@speech
def list_exercises(lang: str | None) -> None:
    """One line for each exercise: its name, what it is about, and where the sources have it."""
    from lab.exercises import catalogue, language

    for exercise in catalogue():
        click.echo(f"{exercise.slug:<18} {exercise.title.of(language(lang)):<48} {exercise.source}")


@lab.command()
@click.argument("number", metavar="EXERCISE", required=False)
@click.option("--student", default="", metavar="NAME", help="Whose work it is: names and passwords follow from it.")
@click.option("--seed", metavar="HEX", help="The student's seed, as the teacher gave it out (hardmail lab seed).")
@options
def start(number: str | None, student: str, seed: str | None, directory: Path | None, lang: str | None) -> None:
    """Lay the files of an exercise and start its hosts; in a directory that has one, start that again.

    \b
    Example:
      hardmail lab start 12.1 --student Erika --dir ./lab
    """
    from lab.exercises import language, show
    from lab.exercises.session import begin

    work = begin(number, directory, student, seed)
    for line in show.task(work, language(lang)):
        click.echo(line)


@lab.command()
@options
def task(directory: Path | None, lang: str | None) -> None:
    """Show the task again: files, ports, users."""
    from lab.exercises import language, show

    for line in show.task(_open(directory), language(lang)):
        click.echo(line)


@lab.command()
@options
def reload(directory: Path | None, lang: str | None) -> None:
    """Take the edited files over. Errors are told with file and line, and everything stays as it was."""
    from lab.exercises import language, words

    for warning in _open(directory).take_over():
        click.echo(f"{words.WARNING.of(language(lang))}: {warning}")
    click.echo(words.RELOADED.of(language(lang)))


@lab.command()
@click.option("-v", "--verbose", is_flag=True, help="Show what crossed the wire.")
@options
def check(verbose: bool, directory: Path | None, lang: str | None) -> None:
    """Look at the wire and into the mailboxes: what works, what was seen instead, where to read.

    Exit status 1 unless every step passes.

    \b
    Example:
      hardmail lab check -v --lang de
    """
    import asyncio

    from lab.exercises import engine, language, show

    work = _open(directory)
    if work.running() is None:
        work.up()
    results = asyncio.run(engine.check(work))
    for line in show.outcome(work, results, language(lang), verbose=verbose):
        click.echo(line)
    sys.exit(0 if all(result.seen.passed for result in results) else 1)


@lab.command()
@options
def hint(directory: Path | None, lang: str | None) -> None:
    """Give a hint; each call gives one more."""
    from lab.exercises import language, words

    work = _open(directory)
    hints, given = work.exercise.hints, work.notes.hints
    for number in range(min(given + 1, len(hints))):
        text = hints[number].of(language(lang), work.room().facts)
        click.echo(words.HINT.of(language(lang), {"number": number + 1, "total": len(hints), "hint": text}))
    if given >= len(hints):
        click.echo(words.NO_MORE_HINTS.of(language(lang)))
    else:
        work.notes.hints += 1
        work.remember()


@lab.command()
@options
def reset(directory: Path | None, lang: str | None) -> None:
    """Bring the starting state back; what you wrote is kept beside it."""
    from lab.exercises import language, words

    work = _open(directory)
    kept = work.reset()
    work.take_over()
    click.echo(words.RESET.of(language(lang), {"kept": kept}))


@lab.command()
@options
def solve(directory: Path | None, lang: str | None) -> None:
    """Apply the sample solution to the starting state, and show it."""
    from lab.exercises import language, show, words

    work = _open(directory)
    kept = work.reset()
    work.apply(work.exercise.solution)
    work.notes.solved = True
    work.take_over()
    click.echo(words.SOLVED.of(language(lang), {"kept": kept}))
    for line in show.solution(work, work.exercise.solution):
        click.echo(line)


@lab.command()
@options
def stop(directory: Path | None, lang: str | None) -> None:
    """Stop the hosts of the exercise; the files stay, and `hardmail lab start --dir` starts it again."""
    from lab.exercises import language, words

    work = _open(directory)
    work.stop()
    click.echo(words.STOPPED.of(language(lang), {"dir": work.directory}))


@lab.command()
@click.option("--verify", "file", type=FILE, help="Check a report that was handed in, Markdown or HTML.")
@click.option("--key", type=FILE, help="The teacher's key.")
@click.option("--output", type=DIRECTORY, help="Where to write report.md and report.html (default: the exercise's).")
@options
def report(file: Path | None, key: Path | None, output: Path | None, directory: Path | None, lang: str | None) -> None:
    """Write the transcript of all checks as Markdown and HTML, signed with the student's seed; or verify one.

    \b
    Example:
      hardmail lab report
      hardmail lab report --verify erika/report.md --key class.key
    """
    from lab.exercises import language, report, words
    from lab.exercises.seed import read_key

    if file is not None:
        verdict = report.verify(file, read_key(key) if key else b"")
        click.echo(verdict.text.of(language(lang)))
        if verdict.genuine and key is None:
            click.echo(words.ANYONE.of(language(lang)))
        sys.exit(os.EX_OK if verdict.genuine else 1)
    work = _open(directory)
    written = report.write(work, output or work.directory, language(lang))
    click.echo(words.WRITTEN.of(language(lang), {"files": " ".join(map(str, written))}))


@lab.command()
@click.argument("students", nargs=-1, metavar="STUDENT...")
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Made if it is not there.")
def seed(students: tuple[str, ...], key: Path) -> None:
    """For teachers: the seed of each student, from the key of the class, which only the teacher has.

    \b
    Example:
      hardmail lab seed --key class.key Erika Max
    """
    from lab.exercises.seed import make_key, read_key, student_seed

    if not key.exists():
        make_key(key)
    secret = read_key(key)
    for student in students:
        click.echo(f"{student_seed(secret, student).hex()}  {student}")


def _open(directory: Path | None) -> Work:
    from lab.exercises.work import Work

    return Work.open(directory)
