"""What a person reads on the terminal: the task, the outcome of a check, the sample solution."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

from lab.behaviours.command import SOURCES
from lab.exercises import words
from lab.exercises.base import Edit
from lab.exercises.engine import Result
from lab.exercises.work import Work

WIDTH = 116


def source(reference: str, language: str) -> str:
    """`T mydestination` as `Mailserver Teil 2, slide mydestination`."""
    parts = []
    for entry in reference.split("; "):
        letter, _, section = entry.partition(" ")
        parts.append(f"{SOURCES[letter]} {section}" if letter in SOURCES else entry)
    text = "; ".join(parts)
    for english, german in words.PARTS if language == "de" else ():
        text = text.replace(english, german)
    return text


def task(work: Work, language: str) -> Iterator[str]:
    """The task, and everything that there is to work with."""
    exercise, room = work.exercise, work.room()
    yield click.style(f"{exercise.slug}  {exercise.title.of(language)}", bold=True)
    yield f"{words.SOURCE.of(language)}: {source(exercise.source, language)}"
    yield ""
    yield exercise.task.of(language, room.facts)
    yield ""
    yield f"{words.FILES.of(language)}:"
    yield f"  {work.directory / exercise.own}/"
    yield f"{words.DOORS.of(language)}:"
    for instance in exercise.instances:
        doors = room.described(instance)
        yield f"  {doors.name:<30} " + "  ".join(f"{service} {port}" for service, port in doors.ports)
    yield f"{words.USERS.of(language)}:"
    for user in room.users(exercise.instances):
        yield f"  {user.address:<30} {user.password}"
    yield f"{words.BY_HAND.of(language)}:"
    for command in exercise.commands:
        yield f"  {command.format_map(room.facts)}"
    yield ""
    yield from textwrap.wrap(words.THEN.of(language), WIDTH)


def outcome(work: Work, results: Sequence[Result], language: str, *, verbose: bool) -> Iterator[str]:
    """A check: each step, and for those that fail what was seen, what was expected, and where to read."""
    facts = work.room().facts
    said: set[str] = set()
    for number, result in enumerate(results, 1):
        mark = click.style("✓", fg="green") if result.seen.passed else click.style("✗", fg="red", bold=True)
        yield f"{mark} {number}. {result.step.title.of(language, facts)}"
        if verbose:
            yield from (f"      {line}" for line in result.lines)
        if result.seen.passed:
            continue
        saw = result.seen.saw if isinstance(result.seen.saw, str) else result.seen.saw.of(language)
        for label, text in (
            (words.SAW, saw),
            (words.EXPECTED, result.step.expected.of(language, facts)),
            (words.READ, source(result.step.source, language)),
        ):
            yield from _folded(f"{label.of(language)}: ", text)
        if result.seen.mistake and result.seen.mistake not in said:
            said.add(result.seen.mistake)
            yield from _folded("→ ", work.exercise.mistake(result.seen.mistake).message.of(language, facts))
    passed = sum(result.seen.passed for result in results)
    yield ""
    yield words.SCORE.of(language, {"passed": passed, "steps": len(results)})
    if passed == len(results):
        yield click.style(words.DONE.of(language), fg="green", bold=True)
    elif edited := work.edited_since_reload():
        yield words.NOT_RELOADED.of(language, {"files": ", ".join(sorted(edited))})


def _folded(label: str, text: str) -> list[str]:
    indent = " " * 5
    return textwrap.wrap(label + text, WIDTH, initial_indent=indent, subsequent_indent=indent + " " * len(label))


def solution(work: Work, edits: Sequence[Edit]) -> Iterator[str]:
    """The lines of a solution, by file."""
    file = ""
    for edit in edits:
        if edit.file != file:
            file = edit.file
            yield f"  {file}"
        for line in work.expanded(edit.text, file.partition("/")[0]).splitlines():
            yield f"    {line}"
