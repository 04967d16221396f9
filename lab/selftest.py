"""`hardmail test`: the test suite, quick tests first, on all processors."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab.errors import LabError
from lab.plan import processors

ROOT = Path(__file__).resolve().parent.parent

# More workers than this start more stacks at once than a laboratory machine has memory for.
WORKERS_MAX = 4


def run(arguments: list[str]) -> int:
    """Run pytest with these arguments in the source tree; its exit status. Raises LabError without the tests."""
    if not (ROOT / "tests").is_dir():
        raise LabError("the tests are part of the source tree, not of an installation: run ./hardmail test there")
    try:
        import pytest
    except ModuleNotFoundError:
        raise LabError("pytest is missing: use the launcher (./hardmail test), which installs it") from None
    os.chdir(ROOT)
    sys.dont_write_bytecode = True
    workers = min(processors(), WORKERS_MAX)
    parallel = ["-n", str(workers)] if workers > 1 and not _alone(arguments) else []
    if arguments:  # a choice of the caller's
        return int(pytest.main([*parallel, *arguments]))
    # Quick tests first: a plain mistake shows within seconds.
    tiers = ("not slow and not soak", "slow and not soak")
    return next(filter(None, (int(pytest.main([*parallel, "-m", tier])) for tier in tiers)), 0)


def _alone(arguments: list[str]) -> bool:
    """Whether the caller decides about processes, or wants a debugger's single one."""
    return any(argument.startswith(("-n", "--pdb", "-p", "-h", "--help", "--co")) for argument in arguments)
