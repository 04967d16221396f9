"""check_policy_service: the protocol of SMTPD_POLICY_README spoken with a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mta.smtpd.access.policy import encode

MAIL = "C: EHLO client.example.org\nS: 250-*\nC: MAIL FROM:<{0}>\nS: 250 *\nC: RCPT TO:<alice@example.com>\nS: {1}"


class PolicyServer:
    """Answers from a table by sender; remembers requests and how many connections it had."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.answers: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        request: dict[str, str] = {}
        while line := (await reader.readline()).decode():
            if line != "\n":
                name, _, value = line.rstrip("\n").partition("=")
                request[name] = value
                continue
            self.requests.append(request)
            writer.write(self.answers.get(request["sender"], b"action=DUNNO\n\n"))
            request = {}
        writer.close()


@pytest.fixture
async def policy() -> AsyncIterator[tuple[PolicyServer, int]]:
    server = PolicyServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    yield server, listener.sockets[0].getsockname()[1]
    listener.close()
    for writer in server.writers:
        writer.transport.abort()
    await asyncio.sleep(0)


async def test_actions_and_attributes(start: Any, policy: tuple[PolicyServer, int]) -> None:
    server, port = policy
    server.answers = {
        "bad@b.example": b"action=REJECT not today\n\n",
        "later@b.example": b"action=DEFER_IF_PERMIT Service temporarily unavailable\n\n",
        "head@b.example": b"action=PREPEND Received-SPF: pass\n\n",
    }
    site = await start(f"smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{port}")
    await site.say(MAIL.format("a@b.example", "250 *"))
    await site.say(MAIL.format("bad@b.example", "554 5.7.1 <alice@example.com>: Recipient address rejected: not today"))
    await site.say(
        MAIL.format("later@b.example", "450 4.7.1 <alice@example.com>: Recipient address rejected: Service*")
    )
    await site.say(MAIL.format("head@b.example", "250 *") + "\nC: DATA\nS: 354 *\nC: .\nS: 250 *")
    assert site.queue.messages[0].content.startswith(b"Received-SPF: pass\r\n")
    first = server.requests[0]
    assert first["request"] == "smtpd_access_policy"
    assert (first["protocol_state"], first["protocol_name"]) == ("RCPT", "ESMTP")
    assert (first["client_address"], first["helo_name"]) == ("127.0.0.1", "client.example.org")
    assert (first["sender"], first["recipient"]) == ("a@b.example", "alice@example.com")
    assert server.connections == 1, "the connection is kept"


async def test_nobody_answers(start: Any) -> None:
    site = await start(
        """
        smtpd_recipient_restrictions = check_policy_service unix:no/such/socket
        smtpd_policy_service_retry_delay = 1
        smtpd_policy_service_try_limit = 1
        """
    )
    await site.say(MAIL.format("a@b.example", "451 4.3.5 *: Recipient address rejected: Server configuration problem"))


async def test_a_service_with_options(start: Any, policy: tuple[PolicyServer, int]) -> None:
    server, port = policy
    server.answers = {"a@b.example": b"nonsense\n\n"}
    site = await start(
        "smtpd_recipient_restrictions ="
        f" check_policy_service {{ inet:127.0.0.1:{port}, try_limit=1, default_action=DUNNO, policy_context=here }}"
    )
    await site.say(MAIL.format("a@b.example", "250 *"))
    assert server.requests[0]["policy_context"] == "here"


def test_a_value_cannot_add_an_attribute() -> None:
    assert (
        encode({"sender": "a\nclient_address=127.0.0.1", "size": "1"})
        == b"sender=a?client_address=127.0.0.1\nsize=1\n\n"
    )
