"""passwd, shadow and PAM for real: the jailed auth service asks its worker, in a namespace with accounts of the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auth.client import AuthClient, AuthFailed, MasterClient

from .machine import accounts, running

pytestmark = [pytest.mark.interop, pytest.mark.needs_root, pytest.mark.needs("unshare", "util-linux")]

USERS = {"tuser1": "one-Pw-1", "tuser2": "two-Pw-2", "tuser3": "three-Pw-3"}
CONFIG = """\
protocols =
base_dir = {place}/run
state_dir = {place}/state
auth_failure_delay = 0
passdb {{
  driver = {driver}
  args = {args}
}}
userdb {{
  driver = passwd
}}
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


async def no_challenge(data: bytes) -> bytes:
    raise AssertionError(data)


async def login(client: AuthClient, user: str, password: str) -> str:
    """The code of a log-in: ok, or the failure's."""
    try:
        success = await client.authenticate(
            "PLAIN", f"\0{user}\0{password}".encode(), no_challenge, remote=("127.0.0.9", 4711)
        )
    except AuthFailed as error:
        return error.code or "refused"
    assert success.user == user
    return "ok"


@pytest.mark.parametrize(("driver", "args"), [("pam", "mailtest"), ("shadow", "")])
async def test_accounts_of_the_machine(place: Path, driver: str, args: str) -> None:
    etc = accounts(place, USERS, expired="tuser2", locked="tuser3")
    (place / "dovecot.conf").write_text(CONFIG.format(place=place, driver=driver, args=args))
    async with running(etc, "run", "-c", str(place), ready=True):
        client = AuthClient(place / "run/auth-client")
        assert await login(client, "tuser1", "one-Pw-1") == "ok"
        assert await login(client, "tuser1", "wrong") == "refused"
        assert await login(client, "nosuch", "one-Pw-1") == "refused"
        # Only PAM knows of the account's expiry; a locked password is no password.
        assert await login(client, "tuser2", "two-Pw-2") == ("pass_expired" if driver == "pam" else "ok")
        assert await login(client, "tuser3", "!") in ("refused", "user_disabled")
        await client.close()
        master = MasterClient(place / "run/auth-userdb")
        found = await master.user("tuser1", "lmtp")
        assert found is not None and (found.uid, found.home) == (6001, "/home/tuser1")
        assert found.fields["system_groups_user"] == "tuser1"
        assert await master.user("nosuch", "lmtp") is None
        assert {user async for user in master.list(service="doveadm")} >= set(USERS)
        await master.close()
        if os.geteuid() == 0:
            status = (place / "run/auth-worker").stat()
            assert status.st_mode & 0o777 == 0o600


async def test_the_auth_service_itself_cannot_read_shadow(place: Path) -> None:
    """A passwd-file that points at /etc/shadow stays closed to the unprivileged, jailed process."""
    etc = accounts(place, USERS)
    (place / "dovecot.conf").write_text(CONFIG.format(place=place, driver="passwd-file", args="/etc/shadow"))
    async with running(etc, "run", "-c", str(place), ready=True):
        client = AuthClient(place / "run/auth-client")
        assert await login(client, "tuser1", "one-Pw-1") == ("temp_fail" if os.geteuid() == 0 else "ok")
        await client.close()
