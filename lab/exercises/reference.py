"""Prints the exercises as Markdown: `python -m lab.exercises.reference en > docs/exercises.md`, or `de`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lab.behaviours.reference import cell
from lab.exercises import words
from lab.exercises.base import Exercise
from lab.exercises.catalogue import catalogue
from lab.exercises.show import source
from lab.exercises.texts import Text

HEAD = Text(
    """\
# The exercises

Generated from the code by `python -m lab.exercises.reference en`; do not edit.
Auf Deutsch: [exercises.de.md](exercises.de.md).

`hardmail lab start EXERCISE` lays the files and starts the hosts. What stands in capitals here (DOMAIN, USER, ports)
differs from student to student and is told there. How it goes: the pages for [students](students.md) and
[teachers](teachers.md).
""",
    """\
# Die Aufgaben

Aus dem Code erzeugt mit `python -m lab.exercises.reference de`; nicht von Hand ändern.
In English: [exercises.md](exercises.md).

`hardmail lab start AUFGABE` legt die Dateien an und startet die Rechner. Was hier in Großbuchstaben steht (DOMAIN,
USER, Ports), ist bei jedem anders und wird dort genannt. Wie es geht: die Seiten für
[Teilnehmer](students.md#auf-deutsch) und [Lehrende](teachers.md#auf-deutsch).
""",
)
EXERCISE = Text("exercise", "Aufgabe")
ABOUT = Text("about", "worum es geht")
LOOKED_AT = Text("What the check looks at", "Was die Prüfung ansieht")
MISTAKES = Text("Mistakes that the check recognises", "Fehler, die die Prüfung erkennt")
MISTAKE = Text("mistake", "Fehler")
SAID = Text("what is said then", "was dann gesagt wird")


class Names(dict[str, str]):
    """Facts that are known only once an exercise is started, by their names."""

    def __missing__(self, name: str) -> str:
        return name.upper()


FACTS = Names({"smtptest": "smtptest", "imtest": "imtest"})


def rows(language: str) -> Iterator[str]:
    """The table of all exercises."""
    yield f"| {EXERCISE.of(language)} | {ABOUT.of(language)} | {words.SOURCE.of(language)} |\n|---|---|---|"
    for exercise in catalogue():
        name = exercise.slug
        yield f"| [{name}](#{anchor(exercise, language)}) | {exercise.title.of(language)} | {cell(exercise.source)} |"


def heading(exercise: Exercise, language: str) -> str:
    """The heading of an exercise."""
    return f"{exercise.slug} {exercise.title.of(language)}"


def anchor(exercise: Exercise, language: str) -> str:
    """What Markdown makes of a heading: letters, digits and hyphens."""
    kept = (c for c in heading(exercise, language).lower() if c.isalnum() or c in " -_")
    return "".join(kept).replace(" ", "-")


def section(exercise: Exercise, language: str) -> Iterator[str]:
    """An exercise: task, commands, steps, mistakes."""
    yield f"## {heading(exercise, language)}\n"
    yield f"{words.SOURCE.of(language)}: {cell(source(exercise.source, language))}\n"
    yield cell(exercise.task.of(language, FACTS)) + "\n"
    yield f"{words.BY_HAND.of(language)}:\n"
    yield from (f"    {command.format_map(FACTS)}" for command in exercise.commands)
    yield f"\n{LOOKED_AT.of(language)}:\n"
    yield f"| {words.STEP.of(language)} | {words.EXPECTED.of(language)} | {words.SOURCE.of(language)} |\n|---|---|---|"
    for number, step in enumerate(exercise.steps, 1):
        expected = cell(step.expected.of(language, FACTS))
        yield f"| {number}. {cell(step.title.of(language, FACTS))} | {expected} | {cell(step.source)} |"
    yield f"\n{MISTAKES.of(language)}:\n"
    yield f"| {MISTAKE.of(language)} | {SAID.of(language)} |\n|---|---|"
    for mistake in exercise.mistakes:
        yield f"| {mistake.slug} | {cell(mistake.message.of(language, FACTS))} |"
    yield ""


def page(language: str) -> str:
    """The whole page."""
    parts = [HEAD.of(language), *rows(language), ""]
    for exercise in catalogue():
        parts += section(exercise, language)
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(page(sys.argv[1] if len(sys.argv) > 1 else "en"), end="")
