"""Every exercise: its starting state fails each step, its solution passes, its typical mistakes are recognised."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from lab.exercises import SLUGS
from lab.exercises.engine import Result, check, look
from lab.exercises.work import Work


def told(results: Sequence[Result]) -> str:
    """What the steps saw, for the report of a failure."""
    return "\n".join(
        f"{result.seen.passed} {result.step.title.en}: {result.seen.saw} {result.seen.mistake or ''}"
        + "".join(f"\n    {line}" for line in result.lines)
        for result in results
    )


async def looked_at(work: Work, until: str) -> AsyncIterator[Result]:
    """The steps up to the one that recognises a mistake, or all."""
    room = work.room()
    for step in work.exercise.steps:
        result = await look(step, room)
        yield result
        if result.seen.mistake == until:
            return


@pytest.mark.slow
@pytest.mark.exercise
@pytest.mark.parametrize("slug", SLUGS)
async def test_exercise(begun: Callable[[str], Work], slug: str) -> None:
    work = begun(slug)
    at_first = await check(work)
    assert not any(result.seen.passed for result in at_first), told(at_first)

    work.apply(work.exercise.solution)
    work.reload()
    solved = await check(work)
    assert all(result.seen.passed for result in solved), told(solved)

    for mistake in work.exercise.mistakes:
        work.reset()
        work.apply(mistake.edits)
        work.reload()
        results = [result async for result in looked_at(work, until=mistake.slug)]
        assert results[-1].seen.mistake == mistake.slug, f"{mistake.slug}:\n{told(results)}"
