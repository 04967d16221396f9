"""Where the lines of a behaviour stand: in which file and line of the hardened profile, or only in its own stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import profiles
from lab.behaviours.base import Behaviour, Change

PROFILE = Path(next(iter(profiles.__path__))) / "hardened"


@dataclass(frozen=True, slots=True)
class Standing:
    """A configuration line, and where it stands: `mailhost/main.cf:38`, or None for the behaviour's own stack."""

    file: str
    line: str
    place: str | None


def files(file: str) -> list[Path]:
    """A file of the profile; dovecot.conf with what it includes."""
    path = PROFILE / file
    included = sorted((path.parent / "conf.d").glob("*.conf")) if path.name == "dovecot.conf" else []
    return [path, *included]


def place_of(file: str, line: str) -> str | None:
    """The first line of the profile that has this text in it, whatever the width of its white space."""
    pattern = re.compile(re.escape(" ".join(line.split()).rstrip(",")).replace(r"\ ", r"\s+"))
    for path in files(file):
        for number, text in enumerate(path.read_text().splitlines(), 1):
            if pattern.search(text) and not text.lstrip().startswith("#"):
                return f"{path.relative_to(PROFILE)}:{number}"
    return None


def standings(behaviour: Behaviour) -> Iterator[Standing]:
    """Every line of the behaviour's configuration."""
    for change in behaviour.configuration:
        for line in change.text.splitlines():
            yield Standing(change.file, line, None if change in behaviour.given else place_of(change.file, line))


def own_lines(behaviour: Behaviour) -> list[Change]:
    """What the behaviour's own stack adds to the profile beside its configuration."""
    return [change for change in behaviour.given if change not in behaviour.configuration]
