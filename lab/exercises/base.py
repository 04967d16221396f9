"""What an exercise is: a starting state, a task, steps that look at the wire, hints, a solution, typical mistakes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.exercises.texts import Text

if TYPE_CHECKING:
    from lab.exercises.room import Room
    from lab.wire import Transcript


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to one file of the class, such as `mailhost/main.cf`.

    In main.cf, `text` holds `name = value` lines, set in place as `postconf -e` does. In other files it is put in the
    place of `instead`, or else appended: in dovecot.conf the last value counts. A file that is missing is made.
    """

    file: str
    text: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a step has seen. `mistake` names the typical mistake that it looks like."""

    passed: bool
    saw: str | Text
    mistake: str | None = None


def passed(saw: object) -> Seen:
    """What was expected was seen."""
    return Seen(True, str(saw))


def failed(saw: object, mistake: str | None = None) -> Seen:
    """Something else was seen."""
    return Seen(False, saw if isinstance(saw, Text) else str(saw), mistake)


Look = Callable[["Room", "Transcript"], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the check looks at, over real sockets and in the mailboxes, never in the configuration files.

    source    where the source documents speak of it: D, T, L or P and the section
    expected  what has to be seen; it does not say how to get there
    """

    title: Text
    source: str
    expected: Text
    look: Look


@dataclass(frozen=True, slots=True)
class Mistake:
    """A typical wrong solution: what a student writes, and what is said once the wire shows it."""

    slug: str
    edits: tuple[Edit, ...]
    message: Text


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise.

    slug       its stable name: `12.1`, `open-relay`
    source     where the source documents have it
    task       what the student is asked to do, and what there is to work with
    commands   how to try it by hand, with the real tools
    start      what makes the starting state out of the classroom's files
    solution   the sample solution, applied to the starting state
    hints      from a nudge to nearly the answer
    instances  the hosts that run
    own        the one of them whose files the student edits
    """

    slug: str
    title: Text
    source: str
    task: Text
    commands: tuple[str, ...]
    steps: tuple[Step, ...]
    hints: tuple[Text, ...]
    solution: tuple[Edit, ...]
    mistakes: tuple[Mistake, ...]
    start: tuple[Edit, ...] = ()
    instances: tuple[str, ...] = ("mailhost", "outside")
    own: str = "mailhost"

    def mistake(self, slug: str) -> Mistake:
        """A typical mistake by its name. Raises KeyError."""
        return {mistake.slug: mistake for mistake in self.mistakes}[slug]
