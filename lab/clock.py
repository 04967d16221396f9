"""`hardmail clock`: the time of a laboratory's queues moved ahead, queue run by queue run, as if it had passed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.errors import LabError, UsageError
from mta.clock import SimulatedClock, clock_of
from mta.config import ConfigErrors, MainConfig
from mta.config.values import seconds
from mta.queue import control
from mta.queue.wakeup import SCAN_INCOMING

SETTLE_SECONDS = 120.0  # for deliveries under way: a server that does not answer takes its time, simulated or not
PAUSE = 0.01
LEAST = 0.01  # seconds moved at once, where a queue run is due by the clock but has not begun


@dataclass(frozen=True)
class Instance:
    """A mail system whose clock may be moved."""

    queue: Path
    clock: SimulatedClock

    @classmethod
    def of(cls, confdir: Path) -> Self | None:
        """None for a configuration without main.cf, or whose time is the system's."""
        if not (confdir / "main.cf").exists():
            return None
        try:
            config = MainConfig.load(confdir)
        except ConfigErrors as error:
            raise LabError(*map(str, error.errors)) from None
        clock = clock_of(config)
        return cls(Path(config.str("queue_directory")), clock) if isinstance(clock, SimulatedClock) else None


def instances(confdirs: Iterable[str]) -> list[Instance]:
    """Those of a running supervisor. Raises LabError if there is none."""
    found = [instance for confdir in confdirs if (instance := Instance.of(Path(confdir)))]
    if not found:
        raise LabError("its time is the system's: start it with hardmail_simulated_clock = yes, or hardmail up --clock")
    return found


def duration(text: str) -> int:
    """`4h`, `2d`, as in main.cf, in seconds. Raises UsageError."""
    try:
        return seconds(text)
    except ValueError:
        raise UsageError(f"{text}: no time; write 90s, 5m, 4h, 6d or 1w") from None


def advance(moved: Sequence[Instance], by: float) -> int:
    """Let that many seconds pass; how many queue runs came upon deferred mail meanwhile. Raises LabError."""
    runs, left = 0, float(by)
    waits = _settled(moved)
    while left > 0:
        due = min(waits, default=left)
        step = min(left, max(due, LEAST))
        for instance in moved:
            instance.clock.advance(step)
        for instance in moved:
            control.send(instance.queue, SCAN_INCOMING)
        left -= step
        runs += step >= due
        waits = _settled(moved)
    return runs


def _settled(moved: Sequence[Instance]) -> list[float]:
    """Wait until nothing is under way anywhere; the seconds until each instance's next queue run with work."""
    deadline, quiet = time.monotonic() + SETTLE_SECONDS, 0
    while time.monotonic() < deadline:
        found = [control.pending(instance.queue) for instance in moved]
        if None in found:
            raise LabError("the queue manager does not answer")
        # Twice: a mail may just be on its way from one instance to another.
        quiet = quiet + 1 if all(pending is not None and pending.idle for pending in found) else 0
        if quiet == 2:
            return [pending.next_run for pending in found if pending is not None and pending.next_run is not None]
        time.sleep(PAUSE)
    raise LabError(f"deliveries are under way for {SETTLE_SECONDS:.0f} s: try again when they have ended")


def shown(instance: Instance) -> str:
    """The clock for people."""
    ahead, parts = round(instance.clock.ahead), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, ahead = divmod(ahead, size)
        parts += [f"{count}{unit}"] if count else []
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(instance.clock()))
    return f"{moment}, {' '.join(parts) or '0s'} ahead"
