"""pickup(8): from the maildrop into the queue, with what cleanup adds; refusals come back as reports."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.queue import Queue, QueueFull, layout
from mta.queue.service import Service, make_plan
from mta.sendmail import maildrop
from mta.sendmail.maildrop import Drop


@pytest.fixture
async def service(confdir) -> AsyncIterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(**settings: str) -> Service:
        made.append(Service(make_plan(MainConfig.load(confdir(**settings)))))
        return made[-1]

    yield make
    for each in made:
        each.queue.close()


def drop(service: Service, content: bytes = b"Subject: x\n\nbody\n", sender: str = "alice", **more: object) -> Path:
    return maildrop.write(service.queue.directory, Drop(sender, ("bob@example.net", "root"), content, **more))


async def scan(service: Service) -> None:
    async with asyncio.timeout(10):
        while await service.manager._pickup():
            pass


async def test_a_drop_becomes_a_message(service, caplog) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.INFO)
    made = service()
    path = drop(made, fullname="Alice A.", notify=4, envid="id", ret="HDRS")
    await scan(made)
    assert not path.exists()
    [message] = made.queue.messages()
    content = made.queue.content(message)
    uid = os.getuid()
    assert content.startswith(f"Received: by null.example.org (Postfix, from userid {uid})\r\n".encode())
    for wanted in (b'From: "Alice A." <alice@', b"Date: ", b"Message-Id: <", b"\r\n\r\nbody\r\n"):
        assert wanted in content or wanted.replace(b'"', b"") in content
    assert message.sender == "alice@null.example.org"
    assert [entry.recipient.address for entry in message.recipients] == ["bob@example.net", "root@null.example.org"]
    assert [entry.recipient.orcpt for entry in message.recipients] == [
        "rfc822;bob@example.net",
        "rfc822;root@null.example.org",
    ]
    assert (message.envid, message.ret, int(message.recipients[0].recipient.notify)) == ("id", "HDRS", 4)
    assert f"{message.queue_id}: uid={uid} from=<alice>" in caplog.text


async def test_a_drop_that_cleanup_refuses_comes_back(service, tmp_path) -> None:
    (tmp_path / "checks").write_text("/^Subject: bad/ REJECT no bad mail\n")
    made = service(header_checks=f"regexp:{tmp_path}/checks")
    drop(made, b"Subject: bad\n\n")
    await scan(made)
    [report] = made.queue.messages()
    assert report.sender == ""
    assert [entry.recipient.address for entry in report.recipients] == ["alice@null.example.org"]
    content = made.queue.content(report)
    assert b"<bob@example.net>: no bad mail\r\n" in content
    assert list(maildrop.waiting(made.queue.directory)) == []


async def test_a_drop_that_cannot_be_read_does_not_keep_the_others_waiting(service, caplog, monkeypatch) -> None:
    made = service()
    unreadable, read = drop(made), maildrop.read
    drop(made)

    def refuse(path: Path) -> maildrop.Dropped:
        if path == unreadable:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(maildrop, "read", refuse)
    await scan(made)
    assert len(list(made.queue.messages())) == 1
    assert list(maildrop.waiting(made.queue.directory)) == [unreadable]
    assert "Permission denied" in caplog.text


async def test_a_torn_drop_is_set_aside(service, caplog) -> None:
    made = service()
    path = drop(made)
    path.write_bytes(path.read_bytes()[:-1])
    drop(made)
    await scan(made)
    assert len(list(made.queue.messages())) == 1
    assert [entry.name.startswith(path.name) for entry in (made.queue.directory / layout.CORRUPT).iterdir()] == [True]
    assert "saved as" in caplog.text


async def test_a_drop_that_can_never_be_queued_is_set_aside(service, caplog) -> None:
    made = service()
    content = b"Subject: x\n\nbody\n"
    path = maildrop.write(made.queue.directory, Drop("alice", ("b\ud800b@example.net",), content))
    os.utime(path, (1, 1))  # the first in line
    drop(made)
    await scan(made)
    assert len(list(made.queue.messages())) == 1
    assert [entry.name.startswith(path.name) for entry in (made.queue.directory / layout.CORRUPT).iterdir()] == [True]
    assert "cannot be queued" in caplog.text


async def test_a_drop_with_octets_that_are_no_utf8_is_queued(service, confdir) -> None:
    made = service()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lab", "sendmail", "-C", confdir(), "-f", "a\udcff@lab.example", "-t"),
        stdin=asyncio.subprocess.PIPE,
    )
    await process.communicate(b"Subject: x\nTo: b\xff\xfeb@lab.example\n\nhi\n")
    assert process.returncode == os.EX_OK
    await scan(made)
    [message] = made.queue.messages()
    assert (message.sender, message.recipients[0].recipient.address) == (
        "a\udcff@lab.example",
        "b\udcff\udcfeb@lab.example",
    )
    assert b"To: b\xff\xfeb@lab.example\r\n" in made.queue.content(message)


async def test_a_full_queue_leaves_the_drop(service, monkeypatch) -> None:
    made = service()
    path = drop(made)

    async def full(*args: object) -> str:
        raise QueueFull("no space")

    monkeypatch.setattr(made.queue, "put", full)
    await scan(made)
    assert path.exists()
    monkeypatch.undo()
    await scan(made)
    assert not path.exists()


async def test_what_is_too_large_comes_back(service) -> None:
    made = service(message_size_limit="2000")
    drop(made, b"Subject: x\n\n" + b"x" * 3000 + b"\n")
    await scan(made)
    [report] = made.queue.messages()
    assert b"message size exceeds size limit" in made.queue.content(report)


async def test_many_drops_in_portions(service) -> None:
    made = service()
    for _ in range(230):
        drop(made)
    await scan(made)
    assert len(list(made.queue.messages())) == 230


def test_the_queue_is_shared_with_other_programs(tmp_path) -> None:
    with Queue.open(tmp_path) as first, Queue.open(tmp_path) as second:
        assert first.new_id() != second.new_id()
