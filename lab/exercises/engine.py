"""Runs the steps of a check, and keeps what they saw for the report."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from lab.behaviours.base import ProbeFailed
from lab.behaviours.processes import StackFailed
from lab.exercises.base import Seen, Step, failed
from lab.exercises.room import Room
from lab.exercises.work import Work
from lab.wire import Transcript, WireError

# A step that takes longer than this hangs.
STEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """One step that was looked at: what it saw, the lines that crossed the wire, and how long it took (seconds)."""

    step: Step
    seen: Seen
    wire: tuple[str, ...]
    seconds: float


async def look(step: Step, room: Room) -> Result:
    """Look at one step; whatever goes wrong is what was seen, never an exception."""
    transcript = Transcript()
    start = time.monotonic()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            seen = await step.look(room, transcript)
    except (ProbeFailed, WireError, StackFailed, OSError) as error:
        seen = failed(error)
    except TimeoutError:
        seen = failed(f"no result within {STEP_SECONDS:.0f} s")
    return Result(step, seen, tuple(map(str, transcript.lines)), time.monotonic() - start)


async def check(work: Work) -> list[Result]:
    """Look at every step, in order, and record the outcome."""
    room = work.room()
    started = time.time()
    results = [await look(step, room) for step in work.exercise.steps]
    work.record({"time": started, "hints": work.notes.hints, "steps": [as_json(result) for result in results]})
    return results


def as_json(result: Result) -> dict[str, Any]:
    """For the record of a check: both languages, as the report may be read in either."""
    saw = result.seen.saw
    return {
        "passed": result.seen.passed,
        "saw": saw if isinstance(saw, str) else {"en": saw.en, "de": saw.de},
        "mistake": result.seen.mistake,
        "seconds": round(result.seconds, 2),
        "wire": list(result.wire),
    }
