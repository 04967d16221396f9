"""smtpd_proxy_filter: what the filter is given, and whose verdict the client hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mta.smtpd.proxyfilter import xtext

MAIL = """
    C: EHLO client.example.org
    S: 250-*
    C: MAIL FROM:<a@b.example>
    S: 250 *
    C: RCPT TO:<alice@example.com>
    S: 250 *
    C: DATA
    S: 354 *
    C: Subject: x
    C:
    C: ..dot
    C: .
"""


class Filter:
    """Speaks just enough SMTP; `replies` by command replace `250 Ok`."""

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.commands: list[str] = []
        self.content = b""
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(f"{self.replies.get('CONNECT', '220 filter')}\r\n".encode())
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            self.commands.append(line)
            verb = line.split()[0]
            default = {"EHLO": "250-filter\r\n250-XFORWARD NAME ADDR HELO\r\n250 8BITMIME", "DATA": "354 go on"}.get(
                verb, "250 Ok"
            )
            writer.write(f"{self.replies.get(verb, default)}\r\n".encode())
            if verb == "DATA":
                self.content = await reader.readuntil(b"\r\n.\r\n")
                writer.write(f"{self.replies.get('END', '250 2.0.0 Ok: queued as FILTERED')}\r\n".encode())
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Filter]:
    peer = Filter()
    listener = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = listener.sockets[0].getsockname()[1]
    yield peer
    listener.close()
    for writer in peer.writers:
        writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


async def test_the_filter_gets_the_mail_and_its_reply_is_the_clients(start: Any, proxy: Filter) -> None:
    site = await start(f"smtpd_proxy_filter = 127.0.0.1:{proxy.port}\nsmtpd_proxy_ehlo = before.example.com")
    await site.say(MAIL + "    S: 250 2.0.0 Ok: queued as FILTERED")
    assert site.queue.messages == []
    assert proxy.commands[:5] == [
        "EHLO before.example.com",
        "XFORWARD NAME=[UNAVAILABLE] ADDR=127.0.0.1 HELO=client.example.org",
        "MAIL FROM:<a@b.example>",
        "RCPT TO:<alice@example.com>",
        "DATA",
    ]
    assert proxy.content.startswith(b"Received: from client.example.org ")
    assert b"with ESMTP id" not in proxy.content, "it has no place in our queue"
    assert proxy.content.endswith(b"Subject: x\r\n\r\n..dot\r\n.\r\n")


@pytest.mark.parametrize(
    ("stage", "reply", "told"),
    [
        ("END", "550 5.7.1 that is spam", "550 5.7.1 that is spam"),
        ("MAIL", "450 4.7.1 not now", "450 4.7.1 not now"),
        ("CONNECT", "421 busy", "421 busy"),
        ("DATA", "250 what", "451 4.3.0 Error: queue file write error"),
        ("EHLO", "nonsense", "451 4.3.0 Error: queue file write error"),
        ("EHLO", "250 " + "x" * 5000, "451 4.3.0 Error: queue file write error"),
    ],
)
async def test_refusals_and_failures(start: Any, proxy: Filter, stage: str, reply: str, told: str) -> None:
    proxy.replies[stage] = reply
    site = await start(f"smtpd_proxy_filter = inet:127.0.0.1:{proxy.port}")
    await site.say(f"{MAIL}    S: {told}")
    assert site.queue.messages == []


async def test_the_filter_is_away(start: Any) -> None:
    site = await start("smtpd_proxy_filter = unix:no/such/socket")
    await site.say(MAIL + "    S: 451 4.3.0 Error: queue file write error\n    C: NOOP\n    S: 250 *")


def test_attribute_values_are_encoded() -> None:
    assert xtext("a b+c=d\n") == "a+20b+2Bc+3Dd+0A"
