"""The real virus scanner goes away: mail is accepted or deferred as milter_default_action says, never lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lab.behaviours import filters
from lab.behaviours.base import Change
from lab.behaviours.stack import Lab
from lab.behaviours.virus_filter import CLAMD, MILTER, configure, infected
from lab.wire import Transcript

pytestmark = [
    pytest.mark.interop,
    pytest.mark.needs("clamd", "clamav-daemon"),
    pytest.mark.needs("clamav-milter", "clamav-milter"),
]

ACTIONS = {"accept": 250, "tempfail": 451, "reject": 550}


@asynccontextmanager
async def filtered(lab: Lab, place: Path) -> AsyncIterator[None]:
    """Scanner and milter, until the end of the block."""
    place.mkdir()
    socket = filters.milter_directory(lab) / "clamav"
    scanner, milter = configure(place, socket)
    async with (
        filters.running(CLAMD, "-c", str(scanner), socket=place / "clamd", log=place / "clamd.log"),
        filters.running(MILTER, "-c", str(milter), socket=socket, log=place / "milter.log"),
    ):
        yield


@pytest.mark.parametrize("action", ACTIONS)
async def test_nothing_is_lost_while_the_filter_is_away(action: str, place: Path) -> None:
    main = f"smtpd_milters = unix:milter/clamav\nmilter_default_action = {action}"
    evidence, first, second = Transcript(), Lab.token(), Lab.token()
    async with Lab.start(["mailhost"], [Change("mailhost/main.cf", main)]) as lab:
        alice = lab.user("alice")
        async with filtered(lab, place / "before"):
            assert (await filters.send(lab, infected(first), evidence)).code == 550
            await filters.send(lab, lab.message(first), evidence)
        away = await filters.send(lab, lab.message(second), evidence)
        assert away.code == ACTIONS[action], str(away)
        if away.code != 250:
            # Who was refused sends again, when the filter is back.
            async with filtered(lab, place / "after"):
                assert (await filters.send(lab, lab.message(second), evidence)).code == 250
        assert await lab.counted(alice, [first, second]) == {first: 1, second: 1}
