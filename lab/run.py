"""`hardmail run`: the supervisor over configuration directories. Loads what a start needs and no more."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path


def directories(arguments: Sequence[str]) -> list[Path]:
    """Those of `run -c CONFDIR -c CONFDIR ...`; none where there is more to understand, which is for the full parser.

    Its import would be a tenth of a start.
    """
    words, names = arguments[1::2], arguments[2::2]
    if arguments[:1] != ["run"] or set(words) != {"-c"} or len(words) != len(names):
        return []
    found = [Path(name) for name in names]
    return found if all(path.is_dir() for path in found) else []


def run(confdirs: Sequence[Path], ready_fd: int | None = None) -> None:
    """Run these until SIGTERM. Raises LabError if they cannot start."""
    gc.disable()  # nothing of what is loaded becomes garbage; the supervisor enables it again
    from lab import plan
    from lab.supervisor import runner

    names = [confdir.absolute().name for confdir in confdirs]
    if len(names) == 1:
        names = [""]
    elif len(set(names)) < len(names):  # /a/conf and /b/conf
        names = [str(confdir.absolute()) for confdir in confdirs]
    runner.run(
        lambda: plan.load_all(list(zip(confdirs, names, strict=True))),
        command="run",
        ready_fd=ready_fd,
    )
