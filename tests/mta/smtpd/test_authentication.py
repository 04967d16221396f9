"""AUTH: who may log in when, what is said of failures, and that the password stays out of the log."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest

from auth.client import AuthFailed, AuthSuccess, AuthUnavailable, Mechanism

SASL = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = private/auth\n"


class FakeAuth:
    """PLAIN, LOGIN and ANONYMOUS for alice with the password secret; `broken` is a service that cannot be asked."""

    path = "private/auth"

    def __init__(self) -> None:
        self.broken = False

    async def close(self) -> None:
        pass

    async def mechanisms(self) -> list[Mechanism]:
        if self.broken:
            raise AuthUnavailable("no socket")
        names = {"PLAIN": {"plaintext"}, "LOGIN": {"plaintext"}, "ANONYMOUS": {"anonymous"}, "EXTERNAL": set()}
        return [Mechanism(name, frozenset(flags)) for name, flags in names.items()]

    async def authenticate(self, name: str, initial: bytes | None, challenge: Any, **about: Any) -> AuthSuccess:
        if self.broken:
            raise AuthUnavailable("no socket")
        if name == "LOGIN":
            user = initial if initial is not None else await challenge(b"Username:")
            password = await challenge(b"Password:")
        else:
            _, user, password = (initial if initial is not None else await challenge(b"")).split(b"\0")
        if (user, password) != (b"alice", b"secret"):
            raise AuthFailed({"user": user.decode()})
        return AuthSuccess("alice", {})


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GOOD, BAD = b64("\0alice\0secret"), b64("\0alice\0pa55w0rd")


async def site_with_auth(start: Any, settings: str = "") -> tuple[Any, FakeAuth]:
    site = await start(SASL + settings)
    fake = FakeAuth()
    site.server.sasl = type(site.server.sasl)(
        **{name: getattr(site.server.sasl, name) for name in type(site.server.sasl).__slots__} | {"client": fake}
    )
    return site, fake


async def test_relaying_after_login(start: Any) -> None:
    site, _ = await site_with_auth(
        start,
        "smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n"
        "smtpd_sasl_authenticated_header = yes",
    )
    await site.say(
        f"""
        C: EHLO x
        S: 250-*|250-AUTH PLAIN LOGIN|*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<x@far.example>
        S: 554 5.7.1 <x@far.example>: Relay access denied
        C: AUTH PLAIN {GOOD}
        S: 503 5.5.1 Error: MAIL transaction in progress
        C: RSET
        S: 250 *
        C: AUTH PLAIN {GOOD}
        S: 235 2.7.0 Authentication successful
        C: AUTH PLAIN {GOOD}
        S: 503 5.5.1 Error: already authenticated
        C: MAIL FROM:<a@b.example> AUTH=<>
        S: 250 *
        C: RCPT TO:<x@far.example>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
        """,
        source="127.0.0.2",
    )
    (message,) = site.queue.messages
    assert b"\r\n\t(Authenticated sender: alice)\r\n" in message.content
    assert b" with ESMTPA id " in message.content
    assert message.attributes["sasl_username"] == "alice"


async def test_login_asks_for_name_and_password(start: Any) -> None:
    site, _ = await site_with_auth(start)
    await site.say(
        f"""
        C: EHLO x
        S: 250-*
        C: AUTH LOGIN
        S: 334 {b64("Username:")}
        C: {b64("alice")}
        S: 334 {b64("Password:")}
        C: {b64("secret")}
        S: 235 2.7.0 Authentication successful
        """
    )


FAILURES = [
    ("AUTH", "501 5.5.4 Syntax: AUTH mechanism"),
    ("AUTH PLAIN a b", "501 5.5.4 Syntax: AUTH mechanism"),
    ("AUTH FOO", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"),
    ("AUTH ANONYMOUS dHJhY2U=", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"),
    ("AUTH EXTERNAL =", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"),
    ("AUTH PLAIN !!!", "535 5.7.8 Error: authentication failed: Invalid base64 data in initial response"),
    (f"AUTH PLAIN {BAD}", "535 5.7.8 Error: authentication failed: (reason unavailable)"),
    ("AUTH PLAIN\n        S: 334*\n        C: *", "501 5.7.0 Authentication aborted"),
    ("AUTH PLAIN\n        S: 334*\n        C: !", "535 5.7.8 *: Invalid base64 data in continued response"),
    ("AUTH PLAIN\n        S: 334*\n        C: " + "A" * 13000, "500 5.5.6 Authentication Exchange line is too long"),
]


@pytest.mark.parametrize(("command", "reply"), FAILURES)
async def test_failures(start: Any, command: str, reply: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site, _ = await site_with_auth(start)
    await site.say(
        f"C: EHLO x\n        S: 250-*\n        C: {command}\n        S: {reply}\n        C: NOOP\n        S: 250 *"
    )
    assert "pa55w0rd" not in caplog.text
    assert BAD not in caplog.text


async def test_anonymous_logs_in_on_the_weakened_twin(start: Any) -> None:
    site, _ = await site_with_auth(start, "smtpd_sasl_security_options =")
    await site.say("C: EHLO x\nS: 250-*|250-AUTH PLAIN LOGIN ANONYMOUS|*")


async def test_no_auth_before_tls(start: Any) -> None:
    site, _ = await site_with_auth(start, "smtpd_tls_auth_only = yes")
    client = await site.connect()
    await client.say(
        f"S: 220 *\nC: EHLO x\nS: 250-*\nC: AUTH PLAIN {GOOD}\nS: 503 5.5.1 Error: authentication not enabled"
    )


async def test_the_service_is_away(start: Any) -> None:
    site, fake = await site_with_auth(start)
    client = await site.say("C: EHLO x\nS: 250-*|250-AUTH PLAIN LOGIN|*")
    fake.broken = True
    await client.say(
        f"C: AUTH PLAIN {GOOD}\nS: 454 4.7.0 Temporary authentication failure: *\nC: EHLO x\nS: 250-*ETRN|250-ENHANCED*"
    )


async def test_clients_that_are_not_offered_auth(start: Any) -> None:
    site, _ = await site_with_auth(start, "smtpd_sasl_exceptions_networks = 127.0.0.2\nbroken_sasl_auth_clients = yes")
    await site.say("C: EHLO x\nS: 250-*|250-AUTH PLAIN LOGIN|250-AUTH=PLAIN LOGIN|*")
    await site.say("C: EHLO x\nS: 250-*ETRN|250-ENHANCEDSTATUSCODES|*", source="127.0.0.2")


async def test_senders_belong_to_logins(start: Any) -> None:
    site, _ = await site_with_auth(
        start,
        "smtpd_sender_login_maps = inline:{{alice@example.com = alice}, {shared@example.com = alice, bob},"
        " {bob@example.com = bob}}\nsmtpd_sender_restrictions = reject_sender_login_mismatch",
    )
    session = "C: EHLO x\nS: 250-*\n"
    mail = "C: MAIL FROM:<{0}@example.com>\nS: 250 *\nC: RCPT TO:<bob@example.com>\nS: {1}\nC: RSET\nS: 250 *\n"
    await site.say(
        session + mail.format("alice", "553 5.7.1 <alice@example.com>: Sender address rejected: not logged in")
    )
    await site.say(
        session
        + f"C: AUTH PLAIN {GOOD}\nS: 235 *\n"
        + mail.format("alice", "250 *")
        + mail.format("bob", "553 5.7.1 <bob@example.com>: Sender address rejected: not owned by user alice")
    )
