"""How much one client may do: counters by address, over time, and who is exempt."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
from types import SimpleNamespace
from typing import Any, cast

from mta.smtpd.board import COLUMN_SIZE, COLUMNS, Board
from mta.smtpd.limits import Ceilings, Counters
from mta.smtpd.session import Peer, Session


def session(address: str) -> Session:
    return cast(
        Session,
        SimpleNamespace(peer_info=Peer(address), unlimited=False, counted=False, label=f"unknown[{address}]"),
    )


def test_connections_at_a_time() -> None:
    limits = Counters(Ceilings(connections=2), "mx.example.com")
    first, second, third, other = session("192.0.2.1"), session("192.0.2.1"), session("192.0.2.1"), session("192.0.2.2")
    assert limits.connected(first) is None
    assert limits.connected(second) is None
    refusal = limits.connected(third)
    assert refusal is not None
    assert str(refusal) == "421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1"
    assert limits.connected(other) is None
    limits.disconnected(third)
    limits.disconnected(third)
    limits.disconnected(first)
    assert limits.connected(session("192.0.2.1")) is None


def test_rates_are_forgotten_after_their_time() -> None:
    now = 0.0
    limits = Counters(
        Ceilings(message_rate=2, recipient_rate=1, auth_rate=1, tls_rate=1, time_unit=60), "mx", clock=lambda: now
    )
    client = session("192.0.2.1")
    assert [limits.message(client) is None for _ in range(3)] == [True, True, False]
    assert [limits.recipient(client) is None for _ in range(2)] == [True, False]
    assert [limits.auth(client) is None for _ in range(2)] == [True, False]
    assert [limits.new_tls(client) is None for _ in range(2)] == [True, False]
    now = 60.0
    assert limits.message(client) is None


def test_exempt_clients_are_not_counted() -> None:
    limits = Counters(Ceilings(connections=1, message_rate=1), "mx")
    for _ in range(5):
        client = session("192.0.2.1")
        client.unlimited = True
        assert limits.connected(client) is None
        assert limits.message(client) is None


def test_workers_count_together() -> None:
    """A limit of 10 connections admits 10 over all workers, and the connections of a dead worker are forgotten."""
    pipe_in, pipe_out = os.pipe()
    admitted = 0
    children = []
    memory = mmap.mmap(-1, COLUMNS * COLUMN_SIZE)
    for _ in range(4):
        child = os.fork()
        if child == 0:
            counters = Counters(Ceilings(connections=10, message_rate=6), "mx", board=Board(memory))
            mine = sum(counters.connected(session("192.0.2.1")) is None for _ in range(4))
            mails = sum(counters.message(session("192.0.2.1")) is None for _ in range(2))
            os.write(pipe_out, bytes([mine, mails]))
            signal.pause()
        children.append(child)
        mine, mails = os.read(pipe_in, 2)
        admitted += mine
    assert admitted == 10
    here = Counters(Ceilings(connections=10, message_rate=6), "mx", board=Board(memory))
    assert here.connected(session("192.0.2.1")) is not None
    assert here.message(session("192.0.2.1")) is not None
    assert here.connected(session("192.0.2.2")) is None
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert here.connected(session("192.0.2.1")) is None
    os.close(pipe_in)
    os.close(pipe_out)


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
