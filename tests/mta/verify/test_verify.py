"""Verification from RCPT to the next server and back: smtpd, the service, the queue and the delivery agents."""

from __future__ import annotations

import asyncio
import email
import io
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.queue import Queue, layout, service
from mta.sendmail import command, options
from mta.smtpd.access.verified import Verifier
from mta.smtpd.connection import Connection
from mta.smtpd.server import Server
from mta.verify.cache import Fate
from mta.verify.client import VerifyClient

MAIN = """
compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}
myhostname = front.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
relay_domains = b.example
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0s
smtpd_recipient_restrictions = reject_unverified_recipient, permit
relayhost = [127.0.0.1]:1
address_verify_relayhost = [127.0.0.1]:{port}
address_verify_relay_transport = relay:[127.0.0.1]:{port}
address_verify_poll_delay = 1s
virtual_alias_maps = inline:{{ {{alias@b.example=yes@b.example}}, {{pair@b.example=no@b.example x@b.example}} }}
"""
MASTER = """
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
verify unix - - n - 1 verify
"""
SAYS = {"no@": "550 5.1.1 no such user", "late@": "450 4.2.1 come again"}


@dataclass
class Bound:
    socket: socket.socket
    tag: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Stack:
    """The next server's log, the configuration, and a client of our server."""

    config: MainConfig
    heard: list[str]
    server: Server
    port: int

    async def rcpt(self, address: str, sender: str = "me@b.example") -> str:
        """The reply to RCPT."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"HELO x\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<{address}>\r\nQUIT\r\n".encode())
        async with asyncio.timeout(10):
            lines = (await reader.read()).decode().split("\r\n")
        writer.close()
        return lines[3]

    async def known(self, address: str) -> tuple[Fate, str]:
        """What the service knows once the probe has ended."""
        client = VerifyClient(Path(self.config.str("queue_directory"), "private", "verify"))
        try:
            async with asyncio.timeout(10):
                while (answer := await client.ask(address))[0] is Fate.UNKNOWN:
                    await asyncio.sleep(0.01)
        finally:
            client.close()
        return answer


@pytest.fixture
async def heard() -> AsyncIterator[tuple[list[str], int]]:
    """A server that notes what it is told, and its port."""
    lines: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 next\r\n")
        while line := (await reader.readline()).decode().strip():
            lines.append(line)
            said = next((said for who, said in SAYS.items() if who in line and line.startswith("RCPT")), "250 2.1.5 ok")
            writer.write(f"{'354 go' if line == 'DATA' else said}\r\n".encode())
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield lines, listener.sockets[0].getsockname()[1]
    listener.close()


@pytest.fixture
async def stack(tmp_path: Path, place: Path, heard: tuple[list[str], int]) -> AsyncIterator[Stack]:
    (tmp_path / "main.cf").write_text(MAIN.format(place=place, port=heard[1]))
    (tmp_path / "master.cf").write_text(MASTER)
    config = MainConfig.load(tmp_path)
    layout.prepare(place / "spool")
    bound = [
        Bound(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), "qmgr"),
        Bound(socket.socket(socket.AF_UNIX), "verify"),
    ]
    for each, path in zip(bound, ("public/qmgr", "private/verify"), strict=True):
        each.socket.bind(str(place / "spool" / path))
        each.socket.setblocking(False)
    bound[1].socket.listen()
    drain, ready = asyncio.Event(), asyncio.Event()
    manager = asyncio.create_task(service.prepare(config, bound)(drain, ready.set))
    await ready.wait()
    queue = Queue.from_config(config)
    server = Server.from_config(config, queue)
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
    yield Stack(config, heard[0], server, listener.sockets[0].getsockname()[1])
    listener.close()
    while tasks := {connection.task for connection in server.connections}:
        await asyncio.wait(tasks)
    await server.close()
    drain.set()
    await manager
    queue.close()
    asyncio.get_running_loop().remove_reader(bound[0].socket)
    for each in bound:
        each.socket.close()
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_recipient_is_asked_for_and_nothing_is_delivered(stack: Stack) -> None:
    assert await stack.rcpt("yes@b.example") == "250 2.1.5 Ok"
    assert stack.heard[1:] == ["MAIL FROM:<double-bounce@front.example>", "RCPT TO:<yes@b.example>", "QUIT"]
    asked = len(stack.heard)
    assert await stack.rcpt("yes@b.example") == "250 2.1.5 Ok"
    assert len(stack.heard) == asked  # it is known


async def test_what_the_next_server_refuses_is_refused(stack: Stack) -> None:
    refusal = "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)"
    assert await stack.rcpt("no@b.example") == (
        f"450 4.1.1 <no@b.example>: Recipient address rejected: unverified address: {refusal}"
    )
    stack.server.access.verifier.close()
    stack.server.access.verifier = Verifier(
        stack.config.with_overrides(
            {"unverified_recipient_reject_code": "550", "unverified_recipient_reject_reason": "not here"}
        )
    )
    assert await stack.rcpt("no@b.example") == (
        "550 5.1.1 <no@b.example>: Recipient address rejected: undeliverable address: not here"
    )


async def test_temporary_refusals_aliases_and_their_members(stack: Stack) -> None:
    for address in ("late@b.example", "alias@b.example", "pair@b.example", "x@elsewhere.example"):
        await stack.known(address)
    late = "host 127.0.0.1[127.0.0.1] said: 450 4.2.1 come again (in reply to RCPT TO command)"
    assert await stack.known("late@b.example") == (Fate.DEFERRED, late)
    assert await stack.known("alias@b.example") == await stack.known("yes@b.example")
    assert await stack.known("pair@b.example") == (Fate.DELIVERABLE, "aliased to multiple recipients")
    assert not any("no@" in line or line == "DATA" for line in stack.heard)


async def test_the_sender_is_asked_for_too(stack: Stack) -> None:
    stack.server.access = type(stack.server.access)(
        stack.config.with_overrides(
            {
                "smtpd_recipient_restrictions": "reject_unverified_sender, permit",
                "unverified_sender_reject_code": "550",
            }
        ),
        stack.server.access.resolver,
        stack.server.access.dns,
    )
    assert await stack.rcpt("x@b.example", sender="") == "250 2.1.5 Ok"
    assert await stack.rcpt("x@b.example", sender="yes@b.example") == "250 2.1.5 Ok"
    assert (await stack.rcpt("x@b.example", sender="no@b.example")).startswith(
        "550 5.1.7 <no@b.example>: Sender address rejected: undeliverable address: host "
    )


async def test_without_the_service_mail_is_put_off(stack: Stack) -> None:
    stack.server.access.verifier = Verifier(stack.config.with_overrides({"address_verify_service_name": "none"}))
    problem = "450 4.1.1 <yes@b.example>: Recipient address rejected: address verification problem"
    assert await stack.rcpt("yes@b.example") == problem


async def test_sendmail_bv_mails_a_report(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-bv", "-C", str(stack.config.confdir), "-f", "me@b.example", "yes@b.example", "alias@b.example"]
    assert command.run(options.parse(arguments), io.BytesIO()) == os.EX_OK
    assert capsys.readouterr().out == "Mail Delivery Status Report will be mailed to <me@b.example>.\n"
    with Queue.from_config(stack.config) as queue:
        async with asyncio.timeout(10):
            while not (found := [each for each in queue.messages() if each.sender == ""]):
                await asyncio.sleep(0.01)
        report = email.message_from_bytes(queue.content(found[0]))
    assert report["Subject"] == "Mail Delivery Status Report"
    text = report.as_string()
    assert "Action: undeliverable" in text  # -bv takes the ordinary route, where nobody answers
    assert "<yes@b.example> (expanded from <alias@b.example>): connect to" in text
    assert stack.heard == []
