"""content_filter and FILTER: out to a filter after queueing, and back in where it must not go out again (FILTER_README)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.queue import Queue, layout, service
from mta.smtpd.connection import Connection
from mta.smtpd.server import Server

MAIN = """
compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}
myhostname = mx.example.com
mydestination =
mynetworks = 127.0.0.0/8
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
smtpd_peername_lookup = no
relayhost = [127.0.0.1]:{sink}
header_checks = regexp:{{{{/^Subject:/ PREPEND X-Checked: yes}}, {{/^X-Scan:/ FILTER scan:}}}}
always_bcc = archive@example.com
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
transport_retry_time = 1s
{settings}
"""
MASTER = """
scan unix - - n - 10 smtp
  -o smtp_send_xforward_command=yes
smtp unix - - n - - smtp
relay unix - - n - - smtp
retry unix - - n - - error
"""
BACK_IN = {
    "content_filter": "",
    "receive_override_options": "no_unknown_recipient_checks,no_header_body_checks,no_milters,no_address_mappings",
    "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
}
"""-o of the second smtpd."""


class Filter:
    """The filter's process, which can be killed and comes back on the same port."""

    def __init__(self, next_port: int) -> None:
        self._next_port = next_port
        self.port = 0
        self.start()

    def start(self) -> None:
        program = Path(__file__).with_name("filterprocess.py")
        self._process = subprocess.Popen(
            [sys.executable, program, str(self.port), str(self._next_port)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass
class Loop:
    """The mail system around a filter."""

    port: int
    filter: Filter
    server: Server
    arrived: list[tuple[str, str]] = field(default_factory=list)
    """Recipient and content of what came out at the far end."""

    async def send(self, number: int, sender: str = "a@b.example", header: str = "") -> None:
        """One mail, accepted with 250."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        text = (
            f"HELO x\r\nMAIL FROM:<{sender}>\r\nRCPT TO:<user@far.example>\r\nDATA\r\n"
            f"Subject: mail {number}\r\n{header}\r\nbody\r\n.\r\nQUIT\r\n"
        )
        writer.write(text.encode())
        async with asyncio.timeout(10):
            said = (await reader.read()).decode()
        writer.close()
        assert "250 2.0.0 Ok: queued as" in said, said

    async def until(self, count: int) -> None:
        """Wait until so many different mails have come to the user and to the archive."""
        async with asyncio.timeout(30):
            while len(self.subjects("user@far.example")) < count or len(self.subjects("archive@example.com")) < count:
                await asyncio.sleep(0.01)

    def subjects(self, recipient: str) -> Counter[str]:
        return Counter(
            content.partition("Subject: ")[2].split("\r\n")[0] for to, content in self.arrived if to == recipient
        )


StartLoop = Callable[..., Awaitable[Loop]]


@pytest.fixture
async def start_loop(tmp_path: Path, place: Path) -> AsyncIterator[StartLoop]:
    async with AsyncExitStack() as stack:

        async def start(settings: str = "") -> Loop:
            arrived: list[tuple[str, str]] = []

            async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"220 sink\r\n")
                recipients: list[str] = []
                while line := (await reader.readline()).decode().strip():
                    if line == "DATA":
                        writer.write(b"354 go on\r\n")
                        content = (await reader.readuntil(b"\r\n.\r\n")).decode()
                        arrived.extend((recipient, content) for recipient in recipients)
                        recipients.clear()
                    elif line.startswith("RCPT TO:<"):
                        recipients.append(line.removeprefix("RCPT TO:<").partition(">")[0])
                    writer.write(b"250 2.0.0 Ok\r\n")
                writer.close()

            end = await asyncio.start_server(sink, "127.0.0.1", 0)
            stack.callback(end.close)
            text = MAIN.format(place=place, sink=end.sockets[0].getsockname()[1], settings="")
            (tmp_path / "main.cf").write_text(text)
            (tmp_path / "master.cf").write_text(MASTER)
            layout.prepare(place / "spool")
            queue = stack.enter_context(Queue.from_config(MainConfig.load(tmp_path)))
            back_in = await serve(MainConfig.load(tmp_path).with_overrides(BACK_IN), queue)
            content_filter = Filter(back_in[1])
            stack.callback(content_filter.kill)
            with (tmp_path / "main.cf").open("a") as file:
                file.write(settings.replace("FILTER_PORT", str(content_filter.port)))
            config = MainConfig.load(tmp_path)
            server, port = await serve(config, queue)
            drain, ready = asyncio.Event(), asyncio.Event()
            manager = asyncio.create_task(service.prepare(config, [])(drain, ready.set))
            await ready.wait()

            async def stop() -> None:
                drain.set()
                await manager

            stack.push_async_callback(stop)
            return Loop(port, content_filter, server, arrived)

        async def serve(config: MainConfig, queue: Queue) -> tuple[Server, int]:
            server = Server.from_config(config, queue)
            listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)

            async def stop() -> None:
                listener.close()
                while tasks := {connection.task for connection in server.connections}:
                    await asyncio.wait(tasks)
                await server.close()

            stack.push_async_callback(stop)
            return server, listener.sockets[0].getsockname()[1]

        yield start
    await asyncio.sleep(0.05)  # transports let go of their sockets


async def test_mail_goes_through_the_filter_once(start_loop: StartLoop) -> None:
    loop = await start_loop("content_filter = scan:[127.0.0.1]:FILTER_PORT\n")
    for number in range(3):
        await loop.send(number)
    await loop.until(3)
    assert len(loop.arrived) == 6  # and the copies were made once
    for _, content in loop.arrived:
        assert content.count("X-Filtered: yes") == content.count("X-Checked: yes") == 1
        assert content.count("Received: ") == 2


async def test_a_filter_that_is_killed_loses_nothing(start_loop: StartLoop) -> None:
    loop = await start_loop("content_filter = scan:[127.0.0.1]:FILTER_PORT\n")
    count = 0
    for _ in range(3):
        for number in range(count, count + 5):
            await loop.send(number)
        loop.filter.kill()  # with what it had taken and not passed on
        count += 5
        for number in range(count, count + 3):
            await loop.send(number)
        count += 3
        loop.filter.start()
    await loop.until(count)
    wanted = {f"mail {number}" for number in range(count)}
    assert set(loop.subjects("user@far.example")) == set(loop.subjects("archive@example.com")) == wanted
    assert all(content.count("X-Filtered: yes") == 1 for _, content in loop.arrived)


async def test_access_tables_and_header_checks_choose_what_is_filtered(start_loop: StartLoop) -> None:
    loop = await start_loop(
        "default_filter_nexthop = [127.0.0.1]:FILTER_PORT\n"
        "smtpd_sender_restrictions = check_sender_access inline:{{odd@b.example=FILTER scan:[127.0.0.1]:FILTER_PORT}}\n"
    )
    await loop.send(0)
    await loop.send(1, sender="odd@b.example")
    await loop.send(2, header="X-Scan: please\r\n")
    await loop.until(3)
    filtered = {
        content.partition("Subject: ")[2].split("\r\n")[0] for _, content in loop.arrived if "X-Filtered" in content
    }
    assert filtered == {"mail 1", "mail 2"}
