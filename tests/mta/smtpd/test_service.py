"""smtpd as the supervisor runs it: prepared, ready, drained; with the real queue."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mta.config import ConfigErrors, MainConfig
from mta.queue import Queue
from mta.smtpd.service import prepare

MAIN_CF = """
compatibility_level = 3.6
myhostname = mx.example.com
mydestination = $myhostname, example.com
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
local_recipient_maps =
alias_maps =
smtpd_peername_lookup = no
queue_directory = {queue}
"""


@dataclass
class Listening:
    socket: socket.socket
    tag: str = "smtp"
    options: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture
def config(tmp_path: Path) -> MainConfig:
    (tmp_path / "main.cf").write_text(MAIN_CF.format(queue=tmp_path / "queue"))
    return MainConfig.load(tmp_path)


@pytest.fixture
def listening() -> Listening:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return Listening(sock)


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octets: bytes, replies: int
) -> list[bytes]:
    writer.write(octets)
    async with asyncio.timeout(10):
        return [await reader.readline() for _ in range(replies)]


async def test_mail_is_in_the_queue_and_sessions_end_before_the_service(
    config: MainConfig, listening: Listening
) -> None:
    drain, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(prepare(config, [listening])(drain, ready.set))
    await ready.wait()
    reader, writer = await asyncio.open_connection(*listening.socket.getsockname())
    await exchange(reader, writer, b"HELO client.example.org\r\n", 2)
    drain.set()
    envelope = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
    assert [reply[:3] for reply in await exchange(reader, writer, envelope, 3)] == [b"250", b"250", b"354"]
    (kept,) = await exchange(reader, writer, b"Subject: hello\r\n\r\nx\r\n.\r\n", 1)
    assert kept.startswith(b"250 2.0.0 Ok: queued as ")
    assert not task.done()
    await exchange(reader, writer, b"QUIT\r\n", 1)
    async with asyncio.timeout(10):
        await task
    writer.close()
    with Queue.from_config(config) as queue:
        (message,) = queue.messages()
        assert message.queue_id == kept.decode().split()[-1]
        assert b"Subject: hello\r\n" in queue.content(message)


async def test_a_service_that_is_cancelled_says_421(config: MainConfig, listening: Listening) -> None:
    ready = asyncio.Event()
    task = asyncio.create_task(prepare(config, [listening])(asyncio.Event(), ready.set))
    await ready.wait()
    reader, writer = await asyncio.open_connection(*listening.socket.getsockname())
    await exchange(reader, writer, b"", 1)
    task.cancel()
    assert (await reader.readline()).startswith(b"421 4.3.2 ")
    assert await reader.read() == b""
    async with asyncio.timeout(10):
        await asyncio.wait({task})
    writer.close()


def test_mistakes_are_told_before_anything_is_served(config: MainConfig, listening: Listening) -> None:
    with pytest.raises(ConfigErrors, match="no_such_restriction"):
        prepare(config.with_overrides({"smtpd_client_restrictions": "no_such_restriction"}), [listening])
    listening.socket.close()
