"""An audit: every check over every target; targets on one host in turn, different hosts beside each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from lab.audit.checks import CHECKS
from lab.audit.pace import Pace
from lab.audit.report import Audited, Report
from lab.audit.settings import Settings
from lab.audit.target import Address, Target, is_ours, resolve
from lab.audit.visit import Undecided, Visit
from lab.errors import UsageError
from lab.wire import WireError
from lab.wire.transcript import shown

Progress = Callable[[str], None]

CHECK_SECONDS = 600.0
"""What a check may take: a server that answers a letter at a time, always in time, must not hold us for ever."""


async def audit(
    targets: Sequence[Target],
    settings: Settings,
    *,
    owned: bool = False,
    progress: Progress = lambda _: None,
) -> Report:
    """Look at all targets. `owned`: the one who asks answers for hosts that are neither here nor in a private network.

    Raises UsageError for such a host without that word, before anything is sent to any of them.
    """
    start = time.monotonic()
    addresses = await asyncio.gather(*map(_addresses, targets))
    for target, found in zip(targets, addresses, strict=True):
        if not owned and any(not is_ours(address) for address in found):
            raise UsageError(f"{target} is not in a private network: if it is yours, say so with --i-own-this-host")
    hosts: dict[Address | None, list[int]] = {}
    for index, found in enumerate(addresses):
        hosts.setdefault(found[0] if found else None, []).append(index)
    audited: dict[int, Audited] = {}

    async def host(indexes: Iterable[int]) -> None:
        pace = Pace(settings.rate)
        for index in indexes:
            audited[index] = await _audited(targets[index], addresses[index], settings, pace, progress)

    await asyncio.gather(*(host(indexes) for indexes in hosts.values()))
    return Report(tuple(audited[index] for index in range(len(targets))), time.monotonic() - start)


async def _addresses(target: Target) -> list[Address]:
    try:
        return await resolve(target)
    except (OSError, UnicodeError):
        return []


async def _audited(
    target: Target, addresses: Sequence[Address], settings: Settings, pace: Pace, progress: Progress
) -> Audited:
    """At the first address that answers: a name may have one where the server does not listen."""
    if not addresses:
        return Audited(str(target), unreachable=f"{target.host} has no address")
    failure = ""
    for address in addresses:
        visit = Visit(target, address, settings, pace)
        try:
            progress(f"{target}: greeting")
            async with asyncio.timeout(CHECK_SECONDS):
                await CHECKS[0].look(visit)
        except (WireError, Undecided, OSError) as error:
            failure = shown(str(error)) or "no answer"
            continue
        await _checks(visit, progress)
        return Audited(
            str(target),
            str(address),
            tuple(sorted(visit.findings, key=lambda finding: -finding.severity)),
            tuple(visit.facts.items()),
            tuple(visit.undecided.items()),
        )
    return Audited(str(target), str(addresses[0]), unreachable=failure)


async def _checks(visit: Visit, progress: Progress) -> None:
    only = visit.settings.only
    for check in CHECKS[1:]:
        if only and check.name not in only:
            continue
        progress(f"{visit.target}: {check.name}")
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check.look(visit)
        except TimeoutError:
            visit.undecided[check.name] = f"not done after {CHECK_SECONDS:.0f} s"
        except (WireError, Undecided, OSError, ValueError) as error:  # ValueError: a certificate that is none
            visit.undecided[check.name] = shown(str(error))
