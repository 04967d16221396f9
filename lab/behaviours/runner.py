"""Runs probes: on the shared hardened stack, on stacks of their own, and on the weakened twins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.behaviours.base import Behaviour, Change, Finding, Outcome, ProbeFailed
from lab.behaviours.processes import StackFailed
from lab.behaviours.stack import Lab
from lab.wire import Transcript, WireError

# Stacks of their own that run at once: each is a handful of processes that mostly wait.
STACKS_AT_ONCE = 3
# A probe that takes longer than this hangs; the slowest waits for deferred mail for some seconds.
PROBE_SECONDS = 60.0


@dataclass(slots=True)
class Run:
    """One probe on one stack: what it found, the lines that crossed the wire, and how long it took (seconds)."""

    finding: Finding
    transcript: Transcript
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "outcome": self.finding.outcome.value,
            "said": self.finding.said,
            "seconds": round(self.seconds, 3),
            "wire": [str(line) for line in self.transcript.lines],
        }


@dataclass(slots=True)
class Shown:
    """A behaviour that was run: on the hardened stack and, where there is one, on the weakened twin."""

    behaviour: Behaviour
    hardened: Run | None = None
    twin: Run | None = None
    missing: tuple[str, ...] = ()
    """Programs without which it cannot be shown on this machine."""
    wanted_twin: bool = field(default=True)

    @property
    def complete(self) -> bool:
        """Whether every run that belongs to it has ended."""
        if self.missing:
            return True
        return self.hardened is not None and (self.twin is not None or not self._has_twin)

    @property
    def works(self) -> bool:
        """Hardened on the hardened stack, and open on the twin."""
        return (
            self.hardened is not None
            and self.hardened.finding.outcome is Outcome.HARDENED
            and (not self._has_twin or (self.twin is not None and self.twin.finding.outcome is Outcome.OPEN))
        )

    @property
    def _has_twin(self) -> bool:
        return self.wanted_twin and self.behaviour.twin is not None

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "slug": self.behaviour.slug,
            "title": self.behaviour.title,
            "source": self.behaviour.source,
            "works": self.works,
            "missing": list(self.missing),
            "hardened": self.hardened.as_json() if self.hardened else None,
            "twin": self.twin.as_json() if self.twin else None,
        }


async def probe(behaviour: Behaviour, lab: Lab) -> Run:
    """Run one probe on a running stack; whatever goes wrong is its finding, never an exception."""
    transcript = Transcript()
    start = time.monotonic()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            finding = await behaviour.probe(lab, transcript)
    except (ProbeFailed, WireError, StackFailed, OSError) as error:
        finding = Finding(Outcome.FAILED, f"{type(error).__name__}: {error}")
    except TimeoutError:
        finding = Finding(Outcome.FAILED, f"no result within {PROBE_SECONDS:.0f} s")
    return Run(finding, transcript, time.monotonic() - start)


async def run_on_own_stack(behaviour: Behaviour, changes: Sequence[Change]) -> Run:
    """Start the instances that the behaviour needs with these changes, run its probe, stop them."""
    start = time.monotonic()
    try:
        async with Lab.start(behaviour.instances, changes) as lab:
            return await probe(behaviour, lab)
    except StackFailed as error:
        finding = Finding(Outcome.FAILED, f"the stack does not start: {error}")
        return Run(finding, Transcript(), time.monotonic() - start)


async def run(
    behaviours: Sequence[Behaviour],
    lab: Lab | None,
    *,
    twins: bool = True,
    ended: Callable[[Shown], None] = lambda _: None,
) -> list[Shown]:
    """Run the probes of `behaviours`, the shared ones on `lab` one after another, the others beside them.

    Without `lab` every behaviour gets a stack of its own. `ended` is called for each behaviour that is complete.
    """
    everything = [Shown(b, missing=tuple(map(str, b.missing)), wanted_twin=twins) for b in behaviours]
    shown = [entry for entry in everything if not entry.missing]
    stacks = asyncio.Semaphore(STACKS_AT_ONCE)

    def told(entry: Shown) -> None:
        if entry.complete:
            ended(entry)

    async def hardened_alone(entry: Shown) -> None:
        async with stacks:
            entry.hardened = await run_on_own_stack(entry.behaviour, entry.behaviour.given)
        told(entry)

    async def twin(entry: Shown) -> None:
        assert entry.behaviour.twin is not None
        async with stacks:
            entry.twin = await run_on_own_stack(entry.behaviour, entry.behaviour.given + entry.behaviour.twin.changes)
        told(entry)

    async def shared(lab: Lab, entries: Sequence[Shown]) -> None:
        for entry in entries:
            entry.hardened = await probe(entry.behaviour, lab)
            told(entry)

    for entry in everything:
        if entry.missing:
            ended(entry)
    together = [entry for entry in shown if lab is not None and entry.behaviour.shared]
    async with asyncio.TaskGroup() as tasks:
        if lab is not None:
            tasks.create_task(shared(lab, together))
        for entry in shown:
            if entry not in together:
                tasks.create_task(hardened_alone(entry))
            if twins and entry.behaviour.twin is not None:
                tasks.create_task(twin(entry))
    return everything
