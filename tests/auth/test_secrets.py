"""Nothing a client proves itself with reaches the log, whatever is logged."""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auth.client import AuthClient, AuthFailed

if TYPE_CHECKING:
    from .conftest import Running

Start = Callable[..., Awaitable["Running"]]
SECRET = "Passw0rd-that-must-not-be-seen"
MESSAGES = {
    "PLAIN": [b"\0alice\0" + SECRET.encode()],
    "LOGIN": [b"alice", SECRET.encode()],
    "XOAUTH2": [f"user=alice\x01auth=Bearer {SECRET}\x01\x01".encode(), b""],
    "OAUTHBEARER": [f"n,a=alice,\x01auth=Bearer {SECRET}\x01\x01".encode(), b""],
    "CRAM-MD5": [f"alice {SECRET}".encode()],
    "DIGEST-MD5": [f'username="alice",response={SECRET}'.encode()],
    "SCRAM-SHA-256": [b"n,,n=alice,r=x", f"c=biws,r=x,p={SECRET}".encode()],
    "EXTERNAL": [SECRET.encode()],
}


@pytest.mark.parametrize("broken", [False, True])
async def test_the_log(start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: bool) -> None:
    caplog.set_level(logging.DEBUG)
    running = await start(
        f"auth_mechanisms = {' '.join(MESSAGES).lower()}\nauth_debug = yes\nauth_debug_passwords = yes\n"
        "auth_verbose = yes\nauth_verbose_passwords = yes\n"
        f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n"
        "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n",
        users="alice:{NOSUCH}" + SECRET if broken else f"alice:{{PLAIN}}{SECRET}x\n",
    )
    caplog.set_level(logging.DEBUG, "dovecot.auth")
    client = AuthClient(running.path("auth-client"), "imap")
    for mechanism, messages in MESSAGES.items():
        said = iter(messages)

        async def respond(challenge: bytes, said: Iterator[bytes] = said) -> bytes:
            return next(said, b"")

        with pytest.raises(AuthFailed) as caught:
            await client.authenticate(mechanism, None, respond)
        assert SECRET not in repr(caught.value.fields), mechanism
    for malformed in ("AUTH\t9\tPLAIN\tservice=x\tresp=%" + SECRET, f"CONT\t77\t%{SECRET}", f"{SECRET}\t1"):
        peer = await running.connect()
        peer.say(malformed)
        assert SECRET not in "\t".join(await peer.line())
    await client.close()
    assert "alice" in caplog.text
    for hidden in (SECRET, base64.b64encode(SECRET.encode()).decode()[4:-4]):
        assert hidden not in caplog.text
