"""The policy service of a plan: `hardmail-policyd` lines of master.cf, and spawn(8) lines that start policyd-spf."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.sandbox import python_paths
from lab.sandbox.identity import Identity, myself
from lab.supervisor.listeners import UnixListener
from lab.supervisor.logs import LogTarget
from lab.supervisor.service import Rules, Service

if TYPE_CHECKING:
    from mta.config import MainConfig, MasterService

POLICYD_ENTRY: Final = "mta.policyd.service:prepare"
COMMAND: Final = "hardmail-policyd"

PROGRAM: Final = re.compile(
    r"argv=(?:\S*/)?(?:policyd-spf|policyd-spf-perl|postfix-policyd-spf-(?:perl|python)|python3?)\b.*"
)
"""What Debian's and others' guides have spawn(8) start for SPF; our own service stands in for it."""


def is_policy(line: MasterService) -> bool:
    """Whether a line is one for SPF, such as `policyd-spf unix - n n - 0 spawn argv=/usr/bin/policyd-spf`."""
    if line.type != "unix":
        return False
    arguments = " ".join(line.args)
    return line.command == COMMAND or (
        line.command == "spawn" and "spf" in arguments and PROGRAM.search(arguments) is not None
    )


def policy_service(
    lines: Iterable[MasterService], config: MainConfig, owner: Identity | None, rules: Rules, log: LogTarget, name: str
) -> Service:
    """One process for all such lines, each with its socket private/NAME. It asks the DNS and nobody else."""
    who = owner or myself()
    private = Path(config.str("queue_directory"), "private")
    listeners = tuple(UnixListener(private / line.name, 0o600, "policyd", who.uid, who.gid) for line in lines)
    return Service(
        name="policyd",
        entry=POLICYD_ENTRY,
        late=python_paths.late_modules(charsets=False),
        config=config,
        listeners=listeners,
        identity=owner,
        rules=rules,
        log=log,
        outlives=True,
        instance=name,
    )
