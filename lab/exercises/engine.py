"""Runs the steps of a check, and keeps what they saw for the report."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from lab.behaviours.base import Finding, ProbeFailed, exposed, hardened
from lab.behaviours.processes import StackFailed
from lab.behaviours.stack import Lab
from lab.exercises.base import Seen, Step, failed
from lab.exercises.catalogue import find
from lab.exercises.room import Room
from lab.exercises.work import Work
from lab.wire import Line, Transcript, WireError

# A step that takes longer than this hangs.
STEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """One step that was looked at: what it saw, the lines that crossed the wire, and how long it took (seconds)."""

    step: Step
    seen: Seen
    lines: tuple[Line, ...]
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
    return Result(step, seen, tuple(transcript.lines), time.monotonic() - start)


async def on_stack(slug: str, lab: Lab, evidence: Transcript) -> Finding:
    """Every step of an exercise on the stack of the hardened profile, as a behaviour's probe."""
    domain, partner_domain = (lab.user(name).address.rpartition("@")[2] for name in ("alice", "carol"))
    names = {
        "user": "alice",
        "colleague": "bob",
        "partner": "carol",
        "domain": domain,
        "partner_domain": partner_domain,
    }
    room = Room(lab.info, names)
    exercise = find(slug)
    for step in exercise.steps:
        result = await look(step, room)
        evidence.note(f"{step.title.en}: {step.expected.of('en', room.facts)}")
        evidence.lines += result.lines
        if not result.seen.passed:
            mistake = exercise.mistake(result.seen.mistake).message.en if result.seen.mistake else ""
            return exposed(f"{step.title.en}: {result.seen.saw}. {mistake}")
    return hardened(f"all {len(exercise.steps)} steps pass; the last saw {result.seen.saw}")


async def check(work: Work) -> list[Result]:
    """Look at every step, in order, and record the outcome."""
    room = work.room()
    started = time.time()
    results = [await look(step, room) for step in work.exercise.steps]
    notes = work.notes
    steps = [as_json(result) for result in results]
    work.record({"time": started, "hints": notes.hints, "solved": notes.solved, "steps": steps})
    return results


def as_json(result: Result) -> dict[str, Any]:
    """For the record of a check: both languages, as the report may be read in either."""
    saw = result.seen.saw
    return {
        "passed": result.seen.passed,
        "saw": saw if isinstance(saw, str) else {"en": saw.en, "de": saw.de},
        "mistake": result.seen.mistake,
        "seconds": round(result.seconds, 2),
        "wire": list(map(str, result.lines)),
    }
