"""Logging in at the smarthost: the right password, by a mechanism that may be used, and never in the log."""

from __future__ import annotations

import base64
import contextlib
import hmac
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.smtp import sasl
from mta.delivery.smtp.sasl import ChallengeError, CredentialError, Credentials, SaslSettings, choose
from mta.delivery.smtp.saslcache import Refusals
from mta.delivery.smtp.tlssettings import TlsDefaults

from .conftest import Table

OPEN = ("noanonymous",)


def settings(**more: object) -> SaslSettings:
    return SaslSettings(**({"enabled": True, "options": OPEN, "tls_options": OPEN, "verified_options": OPEN} | more))


def fate(results) -> tuple[str, str, str]:
    [result] = results
    return str(result.status), result.dsn.status, result.dsn.reason


async def test_plain(peer, agent, request_to, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    server = await peer(keywords=("AUTH PLAIN LOGIN",), replies={"AUTH": "235 2.7.0 ok"})
    passwords = Table({f"[127.0.0.1]:{server.port}": "user:p:a:ss"})
    results = await agent(sasl=settings(), passwords=passwords).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[0] == "sent"
    assert server.commands[1] == "AUTH PLAIN " + base64.b64encode(b"\0user\0p:a:ss").decode()
    assert "p:a:ss" not in caplog.text
    assert base64.b64encode(b"\0user\0p:a:ss").decode() not in caplog.text


async def test_login(peer, agent, request_to) -> None:
    user, password = base64.b64encode(b"user").decode(), base64.b64encode(b"secret").decode()
    replies = {"AUTH LOGIN": "334 VXNlcm5hbWU6", user: "334 UGFzc3dvcmQ6", password: "235 2.7.0 ok"}
    server = await peer(keywords=("AUTH LOGIN",), replies=replies)
    results = await agent(sasl=settings(), passwords=Table({"127.0.0.1": "user:secret"})).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results)[0] == "sent"
    assert server.commands[1:4] == ["AUTH LOGIN", user, password]


async def test_cram_md5_is_preferred_as_it_hides_the_password(peer, agent, request_to) -> None:
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    digest = hmac.new(b"tanstaaftanstaaf", challenge, "md5").hexdigest()
    assert digest == "b913a602c7eda7a495b4e6e7334d3890"  # the example of RFC 2195
    answer = base64.b64encode(f"tim {digest}".encode()).decode()
    replies = {"AUTH CRAM-MD5": f"334 {base64.b64encode(challenge).decode()}", answer: "235 2.7.0 ok"}
    server = await peer(keywords=("AUTH PLAIN CRAM-MD5",), replies=replies)
    results = await agent(
        sasl=settings(options=("noplaintext",)), passwords=Table({"127.0.0.1": "tim:tanstaaftanstaaf"})
    ).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[0] == "sent"


async def test_a_clear_text_password_is_not_sent_in_the_clear(peer, agent, request_to) -> None:
    server = await peer(keywords=("AUTH PLAIN LOGIN",), replies={"AUTH": "235 2.7.0 ok"})
    results = await agent(
        sasl=settings(options=("noplaintext", "noanonymous")), passwords=Table({"127.0.0.1": "user:secret"})
    ).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results) == (
        "deferred",
        "4.7.0",
        "SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: no mechanism available",
    )
    assert "AUTH" not in server.verbs
    assert server.contents == []


async def test_but_over_tls_it_may_be(peer, agent, request_to, server_tls) -> None:
    server = await peer(keywords=("AUTH PLAIN",), tls=server_tls(), replies={"AUTH": "235 2.7.0 ok"})
    results = await agent(
        tls=TlsDefaults(level="encrypt"),
        sasl=settings(options=("noplaintext",)),
        passwords=Table({"127.0.0.1": "user:secret"}),
    ).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[0] == "sent"
    assert server.verbs[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


async def test_a_wrong_password_keeps_the_mail(peer, agent, request_to) -> None:
    server = await peer(keywords=("AUTH PLAIN",), replies={"AUTH": "535 5.7.8 bad credentials"})
    results = await agent(sasl=settings(), passwords=Table({"127.0.0.1": "user:wrong"})).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results) == (
        "deferred",
        "4.7.8",
        "SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 5.7.8 bad credentials",
    )
    assert server.contents == []


async def test_without_soft_bounce_it_returns(peer, agent, request_to) -> None:
    server = await peer(keywords=("AUTH PLAIN",), replies={"AUTH": "535 5.7.8 bad credentials"})
    results = await agent(sasl=settings(soft_bounce=False), passwords=Table({"127.0.0.1": "user:wrong"})).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results)[:2] == ("bounced", "5.7.8")


async def test_a_server_that_asks_for_ever_is_left(peer, agent, request_to) -> None:
    server = await peer(keywords=("AUTH LOGIN",), replies={"AUTH": "334 ", "dX": "334 ", "c2": "334 "})
    results = await agent(sasl=settings(), passwords=Table({"127.0.0.1": "user:secret"})).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results)[:2] == ("deferred", "4.7.0")


async def test_no_password_no_login(peer, agent, request_to) -> None:
    server = await peer(keywords=("AUTH PLAIN",))
    results = await agent(sasl=settings(), passwords=Table({"other.example": "user:secret"})).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results)[0] == "sent"
    assert "AUTH" not in server.verbs


async def test_the_sender_decides_if_wanted(peer, agent, request_to) -> None:
    server = await peer(keywords=("AUTH PLAIN",), replies={"AUTH": "235 ok"})
    passwords = Table({"alice@example.org": "alice:1", "@example.com": "com:2", "127.0.0.1": "host:3"})
    smtp = agent(sasl=settings(sender_dependent=True), passwords=passwords)
    for sender in ("alice@example.org", "x@example.com", "x@example.net", ""):
        await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}", sender=sender, more=True))
    users = [base64.b64decode(c.split()[2]).split(b"\0")[1] for c in server.commands if c.startswith("AUTH")]
    # The fourth goes over the third's connection: the same server, the same user.
    assert users == [b"alice", b"com", b"host"]


@pytest.mark.parametrize(
    ("offered", "options", "chosen"),
    [
        ("PLAIN LOGIN CRAM-MD5", (), "CRAM-MD5"),
        ("LOGIN PLAIN", (), "PLAIN"),
        ("login", (), "LOGIN"),
        ("PLAIN", ("noplaintext",), None),
        ("CRAM-MD5", ("nodictionary",), None),
        ("CRAM-MD5 PLAIN", ("mutual_auth",), None),
        ("ANONYMOUS GSSAPI", (), None),
        ("", (), None),
    ],
)
def test_choice(offered: str, options: tuple[str, ...], chosen: str | None) -> None:
    found = choose(offered.split(), options)
    assert (found.name if found else None) == chosen


@pytest.mark.parametrize(
    ("filter_text", "passed"),
    [((), ["PLAIN", "LOGIN"]), (("!plain", "static:all"), ["LOGIN"]), (("plain",), ["PLAIN"])],
)
def test_mechanism_filter(filter_text: tuple[str, ...], passed: list[str]) -> None:
    assert SaslSettings(mechanism_filter=filter_text).filtered(["PLAIN", "LOGIN"]) == passed


def test_a_password_may_hold_colons() -> None:
    assert Credentials.parse("user:a:b") == Credentials("user", "a:b")


@given(st.text(max_size=60))
def test_credentials_parser_raises_only_its_error_and_tells_nothing(value: str) -> None:
    try:
        parsed = Credentials.parse(value)
    except CredentialError as error:
        assert len(value) < 4 or value not in str(error)
    else:
        assert f"{parsed.username}:{parsed.password}".rstrip(":") == value.rstrip(":")
        assert parsed.password == "" or len(parsed.password) < 4 or parsed.password not in repr(parsed)


@given(st.text(max_size=60))
def test_challenge_decoder_raises_only_its_error(text: str) -> None:
    with contextlib.suppress(ChallengeError):
        assert isinstance(sasl.decode_challenge(text), bytes)


@given(st.binary(max_size=60))
def test_challenges_round_trip(octets: bytes) -> None:
    assert sasl.decode_challenge(sasl.encode(octets).decode()) == octets


async def test_a_refused_password_is_not_tried_again(peer, agent, request_to) -> None:
    now = 0.0
    refusals = Refusals(100.0, lambda: now)
    passwords = Table({"127.0.0.1": "user:wrong"})
    server = await peer(keywords=("AUTH PLAIN",), replies={"AUTH": "535 5.7.8 bad password"})
    client = agent(sasl=settings(soft_bounce=False), passwords=passwords, refusals=refusals)
    request = request_to(f"[127.0.0.1]:{server.port}")

    def tried() -> int:
        return sum(command.startswith("AUTH") for command in server.commands)

    said = "127.0.0.1[127.0.0.1] said: 535 5.7.8 bad password"
    assert fate(await client.deliver(request)) == ("bounced", "5.7.8", f"SASL authentication failed; server {said}")
    said = "127.0.0.1 said: 535 5.7.8 bad password"
    again = ("bounced", "5.7.8", f"SASL [CACHED] authentication failed; server {said}")
    assert fate(await client.deliver(request)) == again
    assert tried() == 1
    passwords["127.0.0.1"] = "user:other"
    await client.deliver(request)
    assert tried() == 2
    now = 100.0
    await client.deliver(request)
    assert tried() == 3
    soft = agent(sasl=settings(), passwords=passwords, refusals=refusals)
    assert fate(await soft.deliver(request))[:2] == ("deferred", "4.7.8")
    assert tried() == 3
