"""What a behaviour is: slug, source, configuration, probe, expectation and weakened twin."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.programs import Program

if TYPE_CHECKING:
    from lab.behaviours.stack import Lab
    from lab.wire import Transcript


class Outcome(enum.Enum):
    """What a probe found."""

    HARDENED = "hardened"
    OPEN = "open"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found and the line, or the fact, that decided it."""

    outcome: Outcome
    said: str


class ProbeFailed(Exception):
    """The probe could not tell: neither the hardened answer nor the hole was seen."""


def hardened(said: object) -> Finding:
    """The hardened answer was seen."""
    return Finding(Outcome.HARDENED, str(said))


def exposed(said: object) -> Finding:
    """The hole was seen."""
    return Finding(Outcome.OPEN, str(said))


@dataclass(frozen=True, slots=True)
class Change:
    """Lines for one configuration file of the profile, such as `mailhost/main.cf`.

    They are appended to it: in main.cf and in dovecot.conf the last value wins.
    """

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Twin:
    """The weakened twin: what is turned, and what the probe then sees."""

    changes: tuple[Change, ...]
    shows: str


Probe = Callable[["Lab", "Transcript"], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One documented hardening behaviour.

    slug           its stable name
    title          one sentence
    source         where the source documents describe it: D, T, L or P and the section
    configuration  the lines that switch it on, as the source writes them, by file of the profile
    expectation    the hardened answer on the wire
    why            what is attacked, and how the lines stop it
    probe          sees the hardened answer or the hole over real sockets
    twin           the weakened twin, where there is one
    given          what the hardened stack and the twin both change in the profile to make the behaviour visible
    instances      which instances of the profile the probe needs
    shared         whether the probe may run on the stack that other probes use too (it changes nothing there)
    needs          real programs that the probe starts; where one is missing, the behaviour cannot be shown
    """

    slug: str
    title: str
    source: str
    configuration: tuple[Change, ...]
    expectation: str
    probe: Probe
    why: str = ""
    twin: Twin | None = None
    given: tuple[Change, ...] = ()
    instances: tuple[str, ...] = ("mailhost",)
    shared: bool = True
    needs: tuple[Program, ...] = ()

    def __post_init__(self) -> None:
        if self.given and self.shared:
            raise ValueError(f"{self.slug}: a behaviour with changes of its own needs a stack of its own")

    @property
    def missing(self) -> list[Program]:
        """What of `needs` this machine does not have."""
        return [program for program in self.needs if program.path() is None]
