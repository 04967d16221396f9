"""Every behaviour on a stack of its own and on its weakened twin, over real sockets."""

from __future__ import annotations

import pytest

from lab.behaviours import SLUGS, find
from lab.behaviours.runner import Run, run
from tests import peers


def told(label: str, one: Run | None) -> str:
    """What a run found and saw, for the report of a failure."""
    return "" if one is None else f"{label}: {one.finding.outcome.value}: {one.finding.said}\n{one.transcript}"


@pytest.mark.slow
@pytest.mark.parametrize("slug", SLUGS)
async def test_behaviour_works_and_its_twin_is_open(slug: str) -> None:
    behaviour = find(slug)
    for program in behaviour.needs:
        peers.find(program.name, program.package)
    (shown,) = await run([behaviour], None)
    assert shown.works, "\n".join((told("hardened", shown.hardened), told("twin", shown.twin)))
