"""The queue manager as the supervisor runs it: control socket, lock, drain, and mail from end to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.queue import NewMessage, Queue, QueueLocked, Recipient, control, layout, service
from mta.queue.wakeup import Wakeup

MASTER = """\
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
local unix - n n - - local
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
slow unix - - n - - smtp -o smtp_helo_name=slow.example
pipe unix - n n - - pipe user=x argv=/bin/cat
"""


@dataclass
class Bound:
    socket: socket.socket
    tag: str = "qmgr"
    options: dict[str, str] = field(default_factory=dict)


class Sink(asyncio.Protocol):
    """Takes every mail; notes who said EHLO and what arrived."""

    seen: list[str]

    def __init__(self, seen: list[str], transports: list[asyncio.BaseTransport]) -> None:
        self.seen, self.transports, self.buffer, self.data = seen, transports, b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transports.append(transport)
        transport.write(b"220 sink\r\n")

    def data_received(self, octets: bytes) -> None:
        self.buffer += octets
        while b"\r\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            if self.data:
                self.data = line != b"."
                if not self.data:
                    self.transport.write(b"250 2.0.0 Ok\r\n")
                continue
            self.seen.append(line.decode())
            self.data = line == b"DATA"
            reply = b"354 go\r\n" if self.data else b"250 2.0.0 Ok\r\n"
            self.transport.write(reply)


@dataclass
class Running:
    config: MainConfig
    seen: list[str]
    drain: asyncio.Event
    task: asyncio.Task[None]
    spool: Path

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.drain.set()
        async with asyncio.timeout(10):
            await self.task


@pytest.fixture
async def qmgr(tmp_path, place) -> AsyncIterator[Callable[..., object]]:
    running: list[Running] = []
    loop = asyncio.get_running_loop()
    seen: list[str] = []
    transports: list[asyncio.BaseTransport] = []
    server = await loop.create_server(lambda: Sink(seen, transports), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def start(kind: int = socket.SOCK_DGRAM, **settings: str) -> Running:
        spool = place / "spool"
        main = {
            "compatibility_level": "3.6",
            "queue_directory": str(spool),
            "myhostname": "mx.example.org",
            "mydestination": "example.org",
            "relayhost": f"[127.0.0.1]:{port}",
            "alias_maps": "",
            "local_transport": f"smtp:[127.0.0.1]:{port}",
        } | settings
        (tmp_path / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in main.items()))
        (tmp_path / "master.cf").write_text(MASTER)
        config = MainConfig.load(tmp_path)
        layout.prepare(spool)
        bound = socket.socket(socket.AF_UNIX, kind)
        path = spool / "public" / "qmgr"
        path.unlink(missing_ok=True)
        bound.bind(str(path))
        bound.setblocking(False)
        if kind == socket.SOCK_STREAM:
            bound.listen()
        serve = service.prepare(config, [Bound(bound)])
        ready, drain = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(serve(drain, ready.set))
        made = Running(config, seen, drain, task, spool)
        running.append(made)
        waiting = asyncio.create_task(ready.wait())
        async with asyncio.timeout(10):
            await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        loop_sockets.append(bound)
        return made

    loop_sockets: list[socket.socket] = []
    yield start
    for made in running:
        made.drain.set()
        await asyncio.wait({made.task}, timeout=10)
        assert made.task.done()
    for bound in loop_sockets:
        loop.remove_reader(bound)
        bound.close()
    server.close()
    await server.wait_closed()
    for transport in transports:
        transport.abort()


def put(spool: Path, *recipients: str, **more: object) -> str:
    """As smtpd does, from a process of its own."""
    with Queue.open(spool) as queue:
        to = [Recipient(address) for address in recipients]
        return queue.put_blocking(NewMessage("a@example.org", to, b"Subject: x\r\n\r\n", **more))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_new_mail_is_delivered_at_once(qmgr, kind) -> None:
    running = await qmgr(kind)
    put(running.spool, "bob@example.net")
    await running.until(lambda: "DATA" in running.seen)
    assert "RCPT TO:<bob@example.net>" in running.seen
    with Queue.open(running.spool) as queue:
        await running.until(lambda: not list(queue.messages()))


async def test_mail_is_found_without_any_signal(qmgr, monkeypatch) -> None:
    from mta.queue import manager

    monkeypatch.setattr(manager, "POLL", 0.05)
    running = await qmgr()
    monkeypatch.setattr(Wakeup, "send", lambda self, octets=b"": False)
    put(running.spool, "bob@example.net")
    await running.until(lambda: "DATA" in running.seen)


async def test_a_transport_has_its_own_parameters(qmgr) -> None:
    running = await qmgr(default_transport="slow")
    put(running.spool, "bob@example.net")
    await running.until(lambda: "DATA" in running.seen)
    assert "EHLO slow.example" in running.seen


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"default_transport": "pipe"}, "mail transport unavailable"),
        ({"default_transport": "nosuch"}, "mail transport unavailable"),
        ({"default_transport": "retry:4.7.9 not today"}, "not today"),
    ],
)
async def test_mail_that_cannot_go_anywhere_waits(qmgr, settings, reason) -> None:
    running = await qmgr(**({"relayhost": ""} | settings))
    put(running.spool, "bob@example.net")
    with Queue.open(running.spool) as queue:
        await running.until(lambda: any(entry.reason for m in queue.messages() for entry in m.recipients))
        [message] = queue.messages()
    assert message.recipients[0].reason.startswith(reason)


async def test_one_queue_manager_at_a_time(qmgr, monkeypatch) -> None:
    running = await qmgr()
    with pytest.raises(QueueLocked):
        await service.lock(running.spool, patience=0.05)
    await running.stop()
    os.close(await service.lock(running.spool, patience=0.05))


async def test_active_messages_can_be_asked_for(qmgr, tmp_path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        left.set()

    left = asyncio.Event()
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    running = await qmgr(relayhost=f"[127.0.0.1]:{port}")
    queue_id = put(running.spool, "bob@example.net")
    asking = asyncio.get_running_loop().run_in_executor
    async with asyncio.timeout(10):
        while await asking(None, control.active_ids, running.spool) != {queue_id}:
            await asyncio.sleep(0.01)
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task
    # Abandoned in the middle: the mail is still there.
    with Queue.open(running.spool) as queue:
        assert queue.find(queue_id) is not None
    await left.wait()
    silent.close()
    await silent.wait_closed()


async def test_flush_by_the_control_socket(qmgr, monkeypatch) -> None:
    running = await qmgr(relayhost="[127.0.0.1]:1")
    put(running.spool, "bob@example.net")
    with Queue.open(running.spool) as queue:
        await running.until(lambda: [message.attempts for message in queue.messages()] == [1])
        assert control.send(running.spool, b"FADI")
        await running.until(lambda: [message.attempts for message in queue.messages()] == [2])
        [message] = queue.messages()
        assert control.send(running.spool, f"retry {message.queue_id}".encode())
        await running.until(lambda: [each.attempts for each in queue.messages()] == [3])
        assert control.flush_site(running.spool, "other.example")
        assert control.flush_site(running.spool, "Example.Net")
        await running.until(lambda: [each.attempts for each in queue.messages()] == [4])
        for junk in (b"", b"\xff\xfe", b"site ", b"site \xff%", b"retry ../../x", b"retry " + b"A" * 200, b"x" * 256):
            control.send(running.spool, junk)
        assert control.send(running.spool, b"A")
        await running.until(lambda: [each.attempts for each in queue.messages()] == [5])


async def test_any_number_of_active_messages_is_told(qmgr, monkeypatch) -> None:
    ids = [f"{number:011X}" for number in range(20_000)]
    monkeypatch.setattr(service.Manager, "active_ids", property(lambda manager: ids))
    running = await qmgr()
    ask = asyncio.get_running_loop().run_in_executor
    assert await ask(None, control.active_ids, running.spool) == set(ids)
