"""nmap's SMTP scripts: they find nothing on the hardened profile, and on weakened twins what is there to be found."""

from __future__ import annotations

import asyncio
import re

import pytest

from lab.behaviours.base import Change
from lab.behaviours.restrictions import without
from lab.behaviours.stack import Lab
from tests import peers

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.needs("nmap", "nmap")]

# The lab's server would answer ever more slowly to so many errors; how fast is not the question here.
PACE = Change("mailhost/main.cf", "smtpd_error_sleep_time = 0s\nsmtpd_hard_error_limit = 100")
OPEN_RELAY = Change("mailhost/main.cf", "smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = permit")
VRFY = Change("mailhost/main.cf", "disable_vrfy_command = no")
SCRIPTS = ("smtp-open-relay", "smtp-enum-users", "smtp-commands")


async def scanned(*changes: Change) -> dict[str, str]:
    """What each script says of the mail host, by its name. `+`: whatever the port is called."""
    async with Lab.start(["mailhost"], [PACE, *changes]) as lab:
        address, port = lab.endpoint("mailhost.smtp")
        arguments = (
            f"smtp-open-relay.domain=scanner.example,smtp-open-relay.ip={address},smtp-open-relay.to=victim,"
            f"smtp-enum-users.domain={lab.domain},smtp-enum-users.methods={{VRFY,EXPN,RCPT}}"
        )
        scan = await asyncio.create_subprocess_exec(
            peers.find("nmap", "nmap"),
            *("-n", "-Pn", "-sT", "-p", str(port), "--script", ",".join(f"+{name}" for name in SCRIPTS)),
            *("--script-args", arguments, address),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        output = (await scan.communicate())[0].decode()
    results = dict(re.findall(r"(?m)^\|[_ ]?([a-z-]+): ?((?:.*\n)(?:\|[ _] .*\n)*)", output))
    assert set(results) == set(SCRIPTS), output
    return results


def users(result: str) -> list[str]:
    """The names that smtp-enum-users has found; its other lines are sentences."""
    return re.findall(r"(?m)^\|?[_ ]* *(\w+)$", result)


async def test_nothing_is_found_on_the_hardened_profile() -> None:
    found = await scanned()
    assert found["smtp-open-relay"] == "Server doesn't seem to be an open relay, all tests failed\n"
    # Of the names that nmap asks for (root, admin, webadmin ...) none.
    assert users(found["smtp-enum-users"]) == []
    assert "VRFY" not in found["smtp-commands"]


async def test_an_open_relay_is_found_in_all_its_forms() -> None:
    found = await scanned(OPEN_RELAY)
    count = re.match(r"Server is an open relay \((\d+)/16 tests\)", found["smtp-open-relay"])
    assert count, found["smtp-open-relay"]
    assert int(count[1]) >= 15


async def test_users_are_found_where_strangers_may_ask_for_them() -> None:
    """nmap takes Postfix's cautious `252` to VRFY for a no; that VRFY is on, it tells all the same."""
    found = await scanned(VRFY, without("smtpd_recipient_restrictions", "check_recipient_access"))
    assert users(found["smtp-enum-users"]) == ["root"]
    assert "VRFY" in found["smtp-commands"]
