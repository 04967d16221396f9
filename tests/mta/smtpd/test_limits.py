"""How much one client may do: counters by address, over time, and who is exempt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from mta.anvil import Count, Counters, LocalCounter
from mta.smtpd.limits import Ceilings, Limits
from mta.smtpd.session import Peer, Session


def limits_of(ceilings: Ceilings, clock: Callable[[], float] = time.monotonic) -> Limits:
    return Limits(ceilings, "mx.example.com", LocalCounter(Counters(60.0, clock)))


def session(address: str) -> Session:
    return cast(
        Session,
        SimpleNamespace(peer_info=Peer(address), unlimited=False, counted=False, label=f"unknown[{address}]"),
    )


async def test_connections_at_a_time() -> None:
    limits = limits_of(Ceilings(connections=2))
    first, second, third, other = session("192.0.2.1"), session("192.0.2.1"), session("192.0.2.1"), session("192.0.2.2")
    assert await limits.connected(first) is None
    assert await limits.connected(second) is None
    refusal = await limits.connected(third)
    assert refusal is not None
    assert str(refusal) == "421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1"
    assert await limits.connected(other) is None
    limits.disconnected(third)
    limits.disconnected(third)
    limits.disconnected(first)
    assert await limits.connected(session("192.0.2.1")) is None


async def test_rates_are_forgotten_after_their_time() -> None:
    now = 0.0
    limits = limits_of(Ceilings(message_rate=2, recipient_rate=1, auth_rate=1, tls_rate=1), lambda: now)
    client = session("192.0.2.1")
    assert [await limits.message(client) is None for _ in range(3)] == [True, True, False]
    assert [await limits.recipient(client) is None for _ in range(2)] == [True, False]
    assert [await limits.auth(client) is None for _ in range(2)] == [True, False]
    sessions = [session("192.0.2.1") for _ in range(3)]
    assert [await limits.new_tls(each) is None for each in sessions] == [True, True, False]
    assert [each.hung_up for each in sessions] == [False, True, False], "one too many ends after its handshake"
    now = 60.0
    assert await limits.message(client) is None


async def test_exempt_clients_are_not_counted() -> None:
    limits = limits_of(Ceilings(connections=1, message_rate=1))
    for _ in range(5):
        client = session("192.0.2.1")
        client.unlimited = True
        assert await limits.connected(client) is None
        assert await limits.message(client) is None


async def test_a_connection_too_many(start: Any) -> None:
    site = await start("smtpd_client_connection_count_limit = 1")
    first = await site.say("C: EHLO x\nS: 250-*", source="127.0.0.2")
    second = await site.connect("127.0.0.2")
    assert await second.reply() == "421 4.7.0 mx.example.com Error: too many connections from 127.0.0.2"
    assert await second.closed()
    await site.say("C: EHLO x\nS: 250-*")
    await site.say("C: EHLO x\nS: 250-*")
    await first.say("C: QUIT\nS: 221 *")
    assert await first.closed()
    while any(connection.session.peer_info.address == "127.0.0.2" for connection in site.server.connections):
        await asyncio.sleep(0)
    await site.say("C: EHLO x\nS: 250-*", source="127.0.0.2")


async def test_rates_at_the_commands(start: Any) -> None:
    site = await start(
        """
        smtpd_client_message_rate_limit = 1
        smtpd_client_recipient_rate_limit = 1
        smtpd_client_event_limit_exceptions =
        """
    )
    await site.say(
        """
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: RCPT TO:<bob@example.com>
        S: 450 4.7.1 Error: too many recipients from 127.0.0.1
        C: RSET
        S: 250 *
        C: MAIL FROM:<a@b.example>
        S: 450 4.7.1 Error: too much mail from 127.0.0.1
        """
    )


class _Gone:
    """A counting service that does not answer."""

    async def register(self, event: str, ident: str) -> Count:
        raise ConnectionRefusedError

    def disconnect(self, ident: str) -> None:
        raise AssertionError("nothing was counted")


async def test_mail_goes_on_without_the_counting_service() -> None:
    limits = Limits(Ceilings(connections=1, message_rate=1), "mx", _Gone())
    for _ in range(3):
        client = session("192.0.2.1")
        assert await limits.connected(client) is None
        assert await limits.message(client) is None
        limits.disconnected(client)
