"""The profile's restriction lists with single restrictions taken out: the weakened twins of what the lists do."""

from __future__ import annotations

import re
from pathlib import Path

from lab import profiles
from lab.behaviours.base import Change

MAIN_CF = "mailhost/main.cf"


def listed(parameter: str) -> list[str]:
    """The restrictions of a list in the mail host's main.cf, one with its argument each. Raises LookupError."""
    text = (Path(next(iter(profiles.__path__))) / "hardened" / MAIN_CF).read_text()
    match = re.search(rf"(?m)^{re.escape(parameter)}[ \t]*=(.*\n(?:[ \t]+\S.*\n)*)", text)
    if match is None:
        raise LookupError(f"{MAIN_CF} does not set {parameter}")
    return [" ".join(entry.split()) for entry in match.group(1).split(",") if entry.strip()]


def without(parameter: str, *restrictions: str) -> Change:
    """The list as the profile has it, but without these restrictions. Raises LookupError if one is not there."""
    entries = listed(parameter)
    for restriction in restrictions:
        if restriction not in {entry.split()[0] for entry in entries}:
            raise LookupError(f"{parameter} has no {restriction}")
    kept = [entry for entry in entries if entry.split()[0] not in restrictions]
    return Change(MAIN_CF, f"{parameter} =\n  " + ",\n  ".join(kept))


def extended(parameter: str, *more: str) -> Change:
    """The list as the profile has it, and these restrictions after it."""
    return Change(MAIN_CF, f"{parameter} =\n  " + ",\n  ".join([*listed(parameter), *more]))
