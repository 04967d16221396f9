"""The policy service of a plan: `hardmail-policyd` lines of master.cf, and spawn(8) lines that start policyd-spf."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from lab.plan.mta import dns_ports, late_modules
from lab.supervisor.service import Service

if TYPE_CHECKING:
    from lab.plan.mta import Mta
    from mta.config import MasterService

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


def policy_service(mta: Mta, lines: Iterable[MasterService]) -> Service:
    """One process for all such lines, each with its socket private/NAME. It asks the DNS and nobody else."""
    for line in lines:
        if line.command == "spawn":
            mta.warnings.append(f"{line.where}: hardmail's own policy service answers in place of the program")
    return Service(
        name="policyd",
        entry=POLICYD_ENTRY,
        late=late_modules(),
        config=mta.config,
        listeners=tuple(mta.listener(f"private/{line.name}", "policyd") for line in lines),
        identity=mta.owner,
        rules=replace(mta.rules(), write=(), connect=dns_ports(mta.config)),
        log=mta.log(),
        outlives=True,
        instance=mta.name,
    )
