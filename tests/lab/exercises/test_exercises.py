"""Every exercise: its starting state fails each step, its solution passes, its typical mistakes are recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lab.exercises import SLUGS
from lab.exercises.engine import Result, check
from lab.exercises.work import Work


def told(results: Sequence[Result]) -> str:
    """What the steps saw, for the report of a failure."""
    return "\n".join(
        f"{result.seen.passed} {result.step.title.en}: {result.seen.saw} {result.seen.mistake or ''}"
        + "".join(f"\n    {line}" for line in result.lines)
        for result in results
    )


@pytest.mark.slow
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
        results = await check(work)
        assert mistake.slug in {result.seen.mistake for result in results}, f"{mistake.slug}:\n{told(results)}"
