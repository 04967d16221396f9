"""Log-in: who may, over what, and what becomes of a failure."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from auth.client import AuthFailed, AuthSuccess, AuthUnavailable
from imap.login import LoginFailed, Outcome

REMOTE = ("127.0.0.2", 4711)


async def ask(challenge: bytes) -> bytes:
    raise AssertionError("no challenge was expected")


@pytest.mark.parametrize(
    ("ssl", "disable_plaintext", "tls", "remote", "allowed"),
    [
        ("yes", True, False, REMOTE, False),
        ("yes", True, True, REMOTE, True),
        ("yes", True, False, ("127.0.0.1", 1), True),  # the same machine
        ("yes", False, False, REMOTE, True),
        ("required", False, False, REMOTE, False),
        ("required", False, True, REMOTE, True),
        ("no", False, False, REMOTE, True),
    ],
)
async def test_when_a_password_may_come(
    mail: Any, ssl: str, disable_plaintext: bool, tls: bool, remote: tuple[str, int], allowed: bool
) -> None:
    login = await mail.login("imap", mail.wire(remote=remote), ssl=ssl, disable_plaintext_auth=disable_plaintext)
    login.tls = tls
    assert login.plaintext_allowed is allowed
    assert ("PLAIN" in login.mechanism_names()) is allowed
    if allowed:
        (await login.password(b"alice", b"testpass")).close()
    else:
        with pytest.raises(LoginFailed) as failure:
            await login.password(b"alice", b"testpass")
        assert failure.value.outcome is Outcome.PRIVACY


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (AuthFailed({"user": "alice"}), Outcome.FAILED),
        (AuthFailed({"user": "alice", "temp": ""}), Outcome.TEMPORARY),
        (AuthFailed({"user": "alice", "code": "user_disabled"}), Outcome.FAILED),
        (AuthFailed({"user": "alice", "code": "pass_expired"}), Outcome.EXPIRED),
        (AuthFailed({"user": "alice", "code": "authz_fail"}), Outcome.AUTHORIZATION),
        (AuthFailed({"user": "alice", "reason": "Closed on Sundays"}), Outcome.REFUSED),
        (AuthUnavailable("no socket"), Outcome.TEMPORARY),
    ],
)
async def test_what_a_failure_becomes(mail: Any, error: Exception, outcome: Outcome) -> None:
    login = await mail.login("imap", mail.wire())
    mail.auth.error = error
    with pytest.raises(LoginFailed) as failure:
        await login.password(b"alice", b"testpass")
    assert failure.value.outcome is outcome
    assert "testpass" not in str(failure.value)


async def test_a_user_of_another_server_is_refused(
    mail: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``proxy`` of a passdb: we do not proxy, and must not open a mailbox here instead."""
    login = await mail.login("imap", mail.wire())

    async def elsewhere(*_: Any, **__: Any) -> AuthSuccess:
        return AuthSuccess("alice", {"proxy": "", "host": "192.0.2.1"})

    monkeypatch.setattr(mail.auth, "authenticate", elsewhere)
    with pytest.raises(LoginFailed) as failure:
        await login.password(b"alice", b"testpass")
    assert failure.value.outcome is Outcome.TEMPORARY
    assert "this server does not proxy" in caplog.text


async def test_a_mechanism_that_is_not_offered(mail: Any) -> None:
    login = await mail.login("imap", mail.wire())
    with pytest.raises(LoginFailed, match="Unsupported authentication mechanism"):
        await login.sasl("XYZZY", None, ask)


async def test_nul_cannot_move_the_border_between_user_and_password(mail: Any) -> None:
    login = await mail.login("imap", mail.wire())
    with pytest.raises(LoginFailed):
        await login.password(b"alice\0testpass", b"")


async def test_garbage_instead_of_base64(mail: Any) -> None:
    login = await mail.login("imap", mail.wire())
    with pytest.raises(LoginFailed, match="Invalid base64"):
        await login.sasl("PLAIN", b"!!", ask)


async def test_connections_of_one_user_from_one_address_are_limited(mail: Any) -> None:
    logins = [await mail.login("imap", mail.wire(), max_userip_connections=2) for _ in range(3)]
    stores = [await login.password(b"alice", b"testpass") for login in logins[:2]]
    with pytest.raises(LoginFailed) as failure:
        await logins[2].password(b"alice", b"testpass")
    assert failure.value.outcome is Outcome.LIMIT
    logins[0].release()
    stores.append(await logins[2].password(b"alice", b"testpass"))
    for store in stores:
        store.close()


async def test_the_log_has_no_password(mail: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    login = await mail.login("imap", mail.wire())
    (await login.password(b"alice", b"testpass")).close()
    with pytest.raises(LoginFailed):
        await login.password(b"alice", b"hunter2")
    assert "user=<alice>" in caplog.text
    assert "testpass" not in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_trusted_network_is_as_good_as_the_same_machine(mail: Any) -> None:
    trusted = (ip_network("127.0.0.0/24"),)
    login = await mail.login("imap", mail.wire(remote=REMOTE), trusted=trusted)
    assert login.plaintext_allowed
    login = await mail.login("imap", mail.wire(remote=("127.0.1.1", 1)), trusted=trusted)
    assert not login.plaintext_allowed
