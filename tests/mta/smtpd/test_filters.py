"""smtpd_milters in the dialogue: a filter's verdicts reach the client, its changes reach the queue."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mta.milter.protocol import Packet, Reader, strings

VERDICTS = {
    "reject": Packet(b"r"),
    "later": Packet(b"t"),
    "discard": Packet(b"d"),
    "words": Packet(b"y", strings("554 5.9.9 in its own words")),
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuses the HELO name or sender that is named after a verdict; changes every message."""
    packets = Reader()
    while octets := await reader.read(65536):
        for packet in packets.feed(octets):
            word = packet.data.strip(b"<\0").split(b"@")[0].split(b".")[0].decode("latin-1")
            if packet.letter == b"O":
                answer = [Packet(b"O", struct.pack(">III", 6, 0x1FF, 0))]
            elif packet.letter in b"DAQ":
                continue
            elif packet.letter in b"HM" and word in VERDICTS:
                answer = [VERDICTS[word]]
            elif packet.letter == b"E":
                answer = [
                    Packet(b"i", struct.pack(">I", 1) + strings("X-Filtered", "yes")),
                    Packet(b"+", strings("<bob@example.com>")),
                ]
                answer += [Packet(b"-", strings("<alice@example.com>")), Packet(b"q", strings("why not")), Packet(b"c")]
            else:
                answer = [Packet(b"c")]
            writer.write(b"".join(each.encode() for each in answer))
    writer.close()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    for writer in writers:
        writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_message_as_the_filter_leaves_it(start: Any, port: int) -> None:
    site = await start(f"smtpd_milters = inet:127.0.0.1:{port}")
    client = await site.say(
        """
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: Subject: x
        C: .
        S: 250 2.0.0 Ok: queued as QID1
        C: QUIT
        S: 221 *
        """
    )
    assert await client.closed()
    (message,) = site.queue.messages
    assert [recipient.address for recipient in message.recipients] == ["bob@example.com"]
    assert message.hold
    received, _, rest = message.content.partition(b"X-Filtered: yes\r\n")
    assert received.startswith(b"Received: from x ")
    assert rest.startswith(b"Subject: x\r\n")


async def test_verdicts_on_the_sender(start: Any, port: int) -> None:
    site = await start(f"smtpd_milters = inet:127.0.0.1:{port}")
    await site.say(
        """
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<reject@b.example>
        S: 550 5.7.1 Command rejected
        C: MAIL FROM:<later@b.example>
        S: 451 4.7.1 Service unavailable - try again later
        C: MAIL FROM:<words@b.example>
        S: 554 5.9.9 in its own words
        C: MAIL FROM:<discard@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 2.0.0 Ok: queued as QID1
        """
    )
    assert site.queue.messages == []


async def test_a_refused_helo_is_told_at_mail(start: Any, port: int) -> None:
    site = await start(f"smtpd_milters = inet:127.0.0.1:{port}")
    await site.say(
        """
        C: EHLO reject.example
        S: 250-mx.example.com|250 ENHANCEDSTATUSCODES
        C: NOOP
        S: 250 *
        C: VRFY alice
        S: 550 5.7.1 Command rejected
        C: MAIL FROM:<a@b.example>
        S: 550 5.7.1 Command rejected
        """
    )


@pytest.mark.parametrize(
    ("action", "greeting", "reply"),
    [
        ("accept", "220 *", "250 2.1.0 Ok"),
        ("tempfail", "220 *", "451 4.7.1 Service unavailable - try again later"),
        ("reject", "554 mx.example.com ESMTP not accepting connections", "550 5.5.0 Service unavailable"),
    ],
)
async def test_the_filter_is_down(start: Any, action: str, greeting: str, reply: str) -> None:
    site = await start(f"smtpd_milters = unix:no/such/socket\nmilter_default_action = {action}")
    client = await site.connect()
    await client.say(f"S: {greeting}\nC: HELO x\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: {reply}")


async def test_clients_that_need_no_filter(start: Any, port: int) -> None:
    site = await start(f"smtpd_milters = inet:127.0.0.1:{port}\nsmtpd_milter_maps = inline:{{127.0.0.2=DISABLE}}")
    await site.say("C: HELO x\nS: 250 *\nC: MAIL FROM:<reject@b.example>\nS: 250 *", source="127.0.0.2")
    await site.say("C: HELO x\nS: 250 *\nC: MAIL FROM:<reject@b.example>\nS: 550 *")


async def test_services_are_refused_where_a_filter_refuses_the_client(start: Any) -> None:
    """AUTH and STARTTLS know one temporary refusal only; what is off is told first."""
    site = await start("smtpd_milters = unix:no/such/socket\nmilter_default_action = tempfail")
    await site.say("""
        C: EHLO x
        S: 250-*
        C: STARTTLS
        S: 454 4.3.0 Try again later
        C: AUTH PLAIN x
        S: 503 5.5.1 Error: authentication not enabled
        C: MAIL FROM:<a@b.example>
        S: 451 4.7.1 Service unavailable - try again later
    """)
