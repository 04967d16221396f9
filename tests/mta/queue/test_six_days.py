"""A story: the smarthost is down for six days. What happens when stands in postconf(5) and qmgr(8).

queue_run_delay         300s: a queue run every five minutes finds what is due
minimal_backoff_time    300s: the first pause; then a message waits as long as it is old, at most
maximal_backoff_time   4000s
delay_warning_time        4h: the first attempt from then on tells the sender
maximal_queue_lifetime    5d: the first attempt from then on is the last
bounce_queue_lifetime     2d: the same for mail without a sender
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.queue import NewMessage, Notify, Recipient, layout, postsuper, service
from mta.queue.listing import columns, listed
from tests.mta.queue.conftest import Clock

HOUR, DAY = 3600, 86400
MAIN = """\
compatibility_level = 3.6
queue_directory = {spool}
myhostname = client.example.org
myorigin = example.org
mydestination =
alias_maps =
relayhost = [127.0.0.1]:{port}
queue_run_delay = 300s
minimal_backoff_time = 300s
maximal_backoff_time = 4000s
delay_warning_time = 4h
maximal_queue_lifetime = 5d
bounce_queue_lifetime = 2d
notify_classes = bounce, 2bounce, delay
smtp_randomize_addresses = no
"""
LETTER = (
    b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: hello\r\nMessage-Id: <1@example.org>\r\n\r\nbody\r\n"
)


@dataclass
class World:
    """A null client whose time is ours."""

    clock: Clock
    service: service.Service
    events: list[tuple[float, str]] = field(default_factory=list)
    """Seconds since the start, and what the log said."""
    arrived: list[tuple[str, str, EmailMessage]] = field(default_factory=list)
    """Sender, recipient and message of what the smarthost took."""

    async def settle(self) -> None:
        self.service.manager.wake()
        async with asyncio.timeout(10):
            while not self.service.manager.idle:
                await asyncio.sleep(0)

    async def until(self, seconds: float) -> None:
        """Let time pass up to `seconds` after the start, from one queue run with work to the next."""
        await self.settle()
        end = START + seconds
        while (due := self.service.manager.until_due()) is not None and self.clock.now + due <= end:
            self.clock.advance(due)
            await self.settle()
        self.clock.now = end
        await self.settle()

    def times(self, pattern: str) -> list[float]:
        return [when for when, what in self.events if re.search(pattern, what)]


START = 1_800_000_000.0


@asynccontextmanager
async def world(place: Path, port: int, more: str = "") -> AsyncIterator[World]:
    (place / "main.cf").write_text(MAIN.format(spool=place / "spool", port=port) + more)
    (place / "master.cf").write_text("smtp unix - - n - - smtp\nrelay unix - - n - - smtp\n")
    layout.prepare(place / "spool")
    clock = Clock(START)
    running = World(clock, service.Service(service.make_plan(MainConfig.load(place), clock)))

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            running.events.append((clock.now - START, record.getMessage()))

    log, note, drain, ready = logging.getLogger("postfix"), Note(), asyncio.Event(), asyncio.Event()
    level = log.level
    log.addHandler(note)
    log.setLevel(logging.INFO)
    task = asyncio.create_task(running.service.run(drain, ready.set))
    await ready.wait()
    try:
        yield running
    finally:
        drain.set()
        await task
        log.removeHandler(note)
        log.setLevel(level)


def smarthost(arrived: list[tuple[str, str, EmailMessage]]):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smarthost\r\n")
        sender = recipient = ""
        while line := (await reader.readline()).decode().rstrip():
            reply = b"250 2.0.0 Ok\r\n"
            if line.startswith("MAIL"):
                sender = line.partition("<")[2].partition(">")[0]
            elif line.startswith("RCPT"):
                recipient = line.partition("<")[2].partition(">")[0]
            elif line == "DATA":
                writer.write(b"354 go\r\n")
                content = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
                arrived.append((sender, recipient, email.message_from_bytes(content, policy=email.policy.default)))
            writer.write(reply)
            if line == "QUIT":
                break
        writer.close()

    return serve


@pytest.fixture
def port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.slow
async def test_six_days_without_a_smarthost(place: Path, port: int) -> None:
    async with world(place, port) as running:
        queue = running.service.queue
        recipient = Recipient("bob@example.net", "bob@example.net", "rfc822;bob@example.net")
        letter = await queue.put(NewMessage("alice@example.org", [recipient], LETTER, envid="E42"))
        quiet = Recipient("eve@example.net", notify=Notify.NEVER)
        silent = await queue.put(NewMessage("alice@example.org", [quiet], LETTER))
        await running.until(6 * DAY)

        # Each pause is as long as the mail is old, but 300 s at least and 4000 s at most, up to the next queue run.
        attempts = running.times(f"{letter}: to=<bob@example.net>.*status=deferred")
        assert attempts == [0, 300, 600, 1200, 2400, *range(4800, 433_200 + 1, 4200)]

        # The first attempt four hours later tells the sender, and the postmaster, once.
        told = 17_400
        assert attempts[8] == told >= 4 * HOUR > attempts[7]
        assert running.times(f"{letter}: sender delay notification") == [told]
        assert running.times(f"{letter}: postmaster delay notification") == [told]

        # The first attempt five days later is the last.
        expired = 433_200
        assert expired >= 5 * DAY > attempts[-2]
        assert running.times(f"{letter}: from=<alice@example.org>, status=expired, returned to sender") == [expired]
        assert running.times(f"{letter}: sender non-delivery notification") == [expired]
        assert running.times(f"{letter}: postmaster non-delivery notification") == [expired]
        assert running.times(f"{letter}: removed") == [expired]

        # Who asked for no notices gets none; the postmaster does.
        assert running.times(f"{silent}: sender") == []
        assert running.times(f"{silent}: postmaster (delay|non-delivery) notification") == [told, expired]

        # The warning has no sender: two days are its life, and its own failure goes to the postmaster alone.
        [warning] = [what.split()[-1] for _, what in running.events if f"{letter}: sender delay" in what]
        given_up = told + 2 * DAY
        assert running.times(f"{warning}: from=<>, status=expired, returned to sender") == [given_up]
        assert running.times(f"{warning}: .* delay notification") == []
        [double] = [what.split()[-1] for when, what in running.events if f"{warning}: postmaster non-delivery" in what]

        # Notices to the postmaster come from double-bounce: when they expire nobody is told, and nothing loops.
        [copy] = [what.split()[-1] for when, what in running.events if f"{letter}: postmaster delay" in what]
        assert running.times(f"{copy}: undeliverable postmaster notification discarded") == [told + 433_200]

        # The smarthost returns: what is left arrives with the next queue runs.
        server = await asyncio.start_server(smarthost(running.arrived), "127.0.0.1", port)
        async with server:
            await running.until(6 * DAY + 2 * HOUR)
            assert list(queue.messages()) == []
        left = sorted((sender, to, message["Subject"]) for sender, to, message in running.arrived)
        assert left == [
            ("", "alice@example.org", "Undelivered Mail Returned to Sender"),
            ("double-bounce@client.example.org", "postmaster@example.org", "Postmaster Copy: Undelivered Mail"),
            ("double-bounce@client.example.org", "postmaster@example.org", "Postmaster Copy: Undelivered Mail"),
            ("double-bounce@client.example.org", "postmaster@example.org", "Postmaster Copy: Undelivered Mail"),
        ]
        assert running.times(f"{double}: to=<postmaster@example.org>.*status=sent")
        [bounce] = [message for _, to, message in running.arrived if to == "alice@example.org"]
        check_report(bounce)


def check_report(bounce: EmailMessage) -> None:
    """RFC 3464: what is returned to the sender, part by part."""
    assert bounce.get_content_type() == "multipart/report"
    assert bounce.get_param("report-type") == "delivery-status"
    assert bounce["Auto-Submitted"] == "auto-replied"
    assert bounce["From"].addresses[0].addr_spec == "MAILER-DAEMON@example.org"
    text, status, original = bounce.iter_parts()
    assert "<bob@example.net>: connect to 127.0.0.1[127.0.0.1]:" in text.get_content()
    about, recipient = status.get_payload()
    assert about["Reporting-MTA"] == "dns; client.example.org"
    assert about["Original-Envelope-Id"] == "E42"
    assert recipient["Original-Recipient"] == "rfc822;bob@example.net"
    assert recipient["Final-Recipient"] == "rfc822; bob@example.net"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "4.4.1")
    assert original.get_payload(0)["Subject"] == "hello"


async def test_a_lifetime_of_nothing_means_one_attempt(place: Path, port: int) -> None:
    async with world(place, port, "maximal_queue_lifetime = 0\n") as running:
        letter = await running.service.queue.put(NewMessage("a@example.org", [Recipient("bob@example.net")], LETTER))
        await running.settle()
        assert running.times(f"{letter}: to=<bob@example.net>.*status=deferred") == [0]
        assert running.times(f"{letter}: from=<a@example.org>, status=expired, returned to sender") == [0]


async def test_a_message_can_be_expired_by_hand(place: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    async with world(place, port) as running:
        queue = running.service.queue
        tried = await queue.put(NewMessage("a@example.org", [Recipient("bob@example.net")], LETTER))
        held = await queue.put(NewMessage("b@example.org", [Recipient("bob@example.net")], LETTER, hold=True))
        await running.settle()
        for message, change in zip(queue.messages(), ("-e", "-f"), strict=True):
            made = postsuper._maker(queue, change)(message)
            assert made is not None
            await queue.change(made)
        listing = list(columns(listed(queue, set()), long_ids=False))
        assert sum(f"{queue_id}#" in line for queue_id in (tried, held) for line in listing) == 2
        await running.until(600)
        assert running.times(f"{tried}: from=<a@example.org>, status=force-expired, returned to sender") == [300]
        assert len(running.times(f"{held}: from=<b@example.org>, status=force-expired, returned to sender")) == 1
        assert running.times(f"{tried}: to=") == [0]  # no attempt after that
        assert running.times(f"{held}: to=") == []
        reports = [queue.content(message) for message in queue.messages() if not message.sender]
        assert any(b"Connection refused" in report for report in reports)
        assert any(b"message is administratively expired" in report for report in reports)
