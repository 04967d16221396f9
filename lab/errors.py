"""Failures of the lab that a person has to mend: one line each, with the sysexits status the command ends with."""

from __future__ import annotations

import os
from collections.abc import Sequence


class LabError(Exception):
    """A failure told in one line per entry; `status` is the exit status of the command (sysexits.h)."""

    status = os.EX_SOFTWARE

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines: tuple[str, ...] = lines


class PlanError(LabError):
    """The configuration cannot be run: every error of every file at once, `file, line N: text` each."""

    status = os.EX_CONFIG

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(*lines)


class ListenError(LabError):
    """A listener could not be bound; nothing has been started."""

    status = 1


class AlreadyRunning(LabError):
    """Another supervisor holds the instance."""

    status = os.EX_TEMPFAIL


class NotRunning(LabError):
    """There is no supervisor to talk to."""

    status = os.EX_UNAVAILABLE


class UsageError(LabError):
    """The command was called with something that does not exist."""

    status = os.EX_USAGE
