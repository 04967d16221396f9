"""The exercises as data: each is complete, in English and in German."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from lab.behaviours.command import SOURCES
from lab.exercises import Exercise, Text, catalogue, find, language, reference, words
from lab.exercises.show import source

THREE = 3


def texts(thing: object) -> Iterator[Text]:
    """Every text in a tree of dataclasses and tuples."""
    if isinstance(thing, Text):
        yield thing
    elif isinstance(thing, tuple):
        for part in thing:
            yield from texts(part)
    elif dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            yield from texts(getattr(thing, field.name))


def facts_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


# What is called the same in both languages.
INTERNATIONAL = {"Ports"}


def whole(text: Text) -> bool:
    different = text.en != text.de or text.en in INTERNATIONAL
    return bool(text.en.strip()) and bool(text.de.strip()) and different and facts_of(text.en) == facts_of(text.de)


@pytest.mark.parametrize("exercise", catalogue(), ids=lambda exercise: exercise.slug)
def test_exercise_is_complete(exercise: Exercise) -> None:
    assert find(exercise.slug) is exercise
    assert exercise.steps
    assert exercise.hints
    assert exercise.solution
    assert exercise.commands
    assert len(exercise.mistakes) >= THREE
    assert len({mistake.slug for mistake in exercise.mistakes}) == len(exercise.mistakes)
    for passage in (exercise.source, *(step.source for step in exercise.steps)):
        assert all(part.partition(" ")[0] in SOURCES for part in passage.split("; ")), passage
        assert source(passage, "en") != passage


@pytest.mark.parametrize("exercise", catalogue(), ids=lambda exercise: exercise.slug)
def test_every_text_is_there_in_both_languages(exercise: Exercise) -> None:
    found = list(texts(exercise))
    assert len(found) > len(exercise.steps)
    assert [text for text in found if not whole(text)] == []


def test_the_commands_own_texts_are_there_in_both_languages() -> None:
    found = [text for text in vars(words).values() if isinstance(text, Text)]
    assert found
    assert [text for text in found if not whole(text)] == []


def test_unknown_exercise() -> None:
    with pytest.raises(KeyError):
        find("12.3")


@pytest.mark.parametrize(
    ("wanted", "environment", "spoken"),
    [
        (None, {}, "en"),
        (None, {"LANG": "de_DE.UTF-8"}, "de"),
        (None, {"LANG": "de_AT.UTF-8", "LC_MESSAGES": "C"}, "en"),
        (None, {"LANG": "en_US.UTF-8", "LC_ALL": "de"}, "de"),
        (None, {"LANG": "de_DE.UTF-8", "LC_ALL": ""}, "de"),
        (None, {"LANG": "den_CA"}, "en"),
        ("en", {"LC_ALL": "de_DE"}, "en"),
    ],
)
def test_language_of_the_locale(wanted: str | None, environment: dict[str, str], spoken: str) -> None:
    assert language(wanted, environment) == spoken


@pytest.mark.parametrize(("spoken", "name"), [("en", "exercises.md"), ("de", "exercises.de.md")])
def test_documentation_is_up_to_date(spoken: str, name: str) -> None:
    text = (Path(lab.__file__).parents[1] / "docs" / name).read_text()
    assert text == reference.page(spoken), f"python -m lab.exercises.reference {spoken} > docs/{name}"
