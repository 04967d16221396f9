"""A big mail goes through in pieces: APPEND into tmp/ as it comes, FETCH as the client takes it; memory stays put."""

from __future__ import annotations

import asyncio
import os
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imap.imap4 import fetch
from imap.imap4.commands.append import SPOOLED
from imap.session import BATCH, MAX_WAITING

MIB = 1 << 20
HEADER = b"From: a@b.test\r\nSubject: big\r\n\r\n"


def body(size: int) -> bytes:
    """Lines that differ, so that a piece out of place is seen."""
    lines = b"".join(b"%014d\r\n" % number for number in range(size // 16))
    return lines + b"x" * (size % 16)


def big(size: int = 3 * SPOOLED) -> bytes:
    return HEADER + body(size - len(HEADER))


def files_in(mail: Any, place: str, user: str = "alice") -> list[Path]:
    return list((Path(mail.root) / user / "Maildir" / place).glob("*"))


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """What is done inside takes no more than `limit` octets at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


async def feed(client: Any, data: bytes, size: int = 8000) -> bytes:
    """Send octets cut into pieces; what was answered."""
    for start in range(0, len(data), size):
        client.session.receive(data[start : start + size])
    await client.settle()
    answer: bytes = client.take()
    return answer


async def test_what_was_appended_comes_back_as_it_was(mail: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut anywhere, with a line end over each cut, and in every way of asking."""
    monkeypatch.setattr(fetch, "BIG", SPOOLED)
    client = await connect()
    message = big()
    command = b'a APPEND INBOX (\\Seen $Work) "01-Jan-2020 00:00:00 +0000" {%d+}\r\n%b\r\n' % (len(message), message)
    for cut in (8000, 7919):
        assert b"a OK [APPENDUID " in await feed(client, command, cut)
    assert len(files_in(mail, "cur")) == 2 and not files_in(mail, "tmp") and not files_in(mail, "new")
    stored = message.replace(b"\r\n", b"\n")
    assert all(file.read_bytes() == stored for file in files_in(mail, "cur"))
    assert all(f",S={len(stored)},W={len(message)}:2," in file.name for file in files_in(mail, "cur"))
    await client.command("SELECT INBOX")
    answer = await client.command("FETCH 1 (UID INTERNALDATE RFC822.SIZE BODY.PEEK[] FLAGS)")
    assert answer.startswith(
        b'* 1 FETCH (UID 1 INTERNALDATE "01-Jan-2020 00:00:00 +0000" RFC822.SIZE %d BODY[] {%d}\r\n%b FLAGS ('
        % (len(message), len(message), message)
    )
    text = message[len(HEADER) :]
    for item, label, octets in (
        ("BODY[TEXT]", b"BODY[TEXT]", text),
        ("RFC822", b"RFC822", message),
        ("BODY[]<100000.65537>", b"BODY[]<100000>", message[100000:165537]),
        ("BODY[TEXT]<1.3>", b"BODY[TEXT]<1>", text[1:4]),
        (f"BODY[]<{len(message) - 3}.10>", b"BODY[]<%d>" % (len(message) - 3), message[-3:]),
        (f"BODY[]<{len(message)}.10>", b"BODY[]<%d>" % len(message), b""),
        ("BODY[]<0.0>", b"BODY[]<0>", b""),
    ):
        answer = await client.command(f"FETCH 2 ({item} UID)")
        assert answer.startswith(b"* 2 FETCH (%b {%d}\r\n%b UID 2)\r\n" % (label, len(octets), octets)), item


async def test_several_at_once_and_a_name_that_is_a_literal(mail: Any, connect: Any) -> None:
    client = await connect()
    message = big()
    one = b" {%d+}\r\n%b" % (len(message), message)
    assert b"a OK [APPENDUID " in await feed(
        client, b"a APPEND {5+}\r\nINBOX (\\Seen)" + one + one + b" {3+}\r\nx: \r\n"
    )
    assert (await client.lines("STATUS INBOX (MESSAGES)"))[0] == "* STATUS INBOX (MESSAGES 3)"
    assert not files_in(mail, "tmp")


async def test_bit_by_bit_it_is_read_once(mail: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many clients read a big mail: what lies before a bit is not read again for it."""
    message = big(8 * MIB)
    mail.deliver("alice", message)
    client = await connect()
    await client.command("SELECT INBOX")
    read, octets = os.pread, 0

    def counting(*arguments: int) -> bytes:
        nonlocal octets
        data = read(*arguments)
        octets += len(data)
        return data

    monkeypatch.setattr("os.pread", counting)
    bit = 50_001
    for start in range(0, len(message), bit):
        answer = await client.command(f"FETCH 1 BODY.PEEK[]<{start}.{bit}>")
        part = message[start : start + bit]
        assert answer.startswith(b"* 1 FETCH (BODY[]<%d> {%d}\r\n%b)\r\n" % (start, len(part), part))
    assert octets < 5 * len(message)
    answer = await client.command("FETCH 1 BODY.PEEK[]<10.20>")  # and back
    assert b"{20}\r\n" + message[10:30] + b")" in answer


@pytest.mark.parametrize(
    ("rest", "answer"),
    [
        (b" junk\r\n", b"a BAD "),
        (b" {99999999999}\r\n", b"a NO [TOOBIG] "),
        (b' "no date" {3+}\r\nabc\r\n', b"a BAD "),
    ],
)
async def test_nothing_stays_of_what_was_refused(mail: Any, connect: Any, rest: bytes, answer: bytes) -> None:
    client = await connect()
    message = big()
    assert (await feed(client, b"a APPEND INBOX {%d+}\r\n%b%b" % (len(message), message, rest))).startswith(answer)
    assert not files_in(mail, "tmp") and not files_in(mail, "new") and not files_in(mail, "cur")


async def test_nothing_stays_of_what_was_cut_off(mail: Any, connect: Any) -> None:
    client = await connect()
    await feed(client, b"a APPEND INBOX {%d+}\r\n" % (4 * SPOOLED) + b"x" * SPOOLED)
    assert len(files_in(mail, "tmp")) == 1
    client.session.lost()
    assert not files_in(mail, "tmp")


async def test_a_full_disk_is_told_once_all_has_come(mail: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(descriptor: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    client = await connect()
    monkeypatch.setattr("imap.store.stream.write_all", full)
    message = big()
    answer = await feed(client, b"a APPEND INBOX {%d+}\r\n%b\r\nb NOOP\r\n" % (len(message), message))
    assert re.match(rb"a NO \[OVERQUOTA\] Not enough disk space.*\r\nb OK ", answer)
    assert not files_in(mail, "tmp")


class TestQuota:
    @pytest.fixture
    def dovecot_conf(self) -> str:
        return "mail_plugins = quota\nplugin {{\n quota = count:User\n quota_rule = *:storage=200K\n}}\n"

    async def test_it_is_asked_before_the_first_octet(self, mail: Any, connect: Any) -> None:
        client = await connect()
        answer = await client.send(b"a APPEND INBOX {%d}\r\n" % (2 * SPOOLED))
        assert answer.startswith(b"a NO [OVERQUOTA] Quota exceeded")
        assert not files_in(mail, "tmp")


class Slow:
    """The wire to a client that takes one batch each time it is waited for."""

    def __init__(self, wire: Any) -> None:
        self._wire = wire
        self.taken = self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    def write(self, data: bytes) -> None:
        self._wire.sent += data
        self.most = max(self.most, len(self._wire.sent))

    def writable(self) -> asyncio.Future[None] | None:
        if len(self._wire.sent) < BATCH:
            return None
        self.taken += len(self._wire.sent)
        self._wire.sent.clear()
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, None)
        return future


async def test_what_waits_behind_a_command_is_bounded(mail: Any, imap_server: Any) -> None:
    """While a big mail goes to a client that takes its time, what it sends stays with the kernel; then all is read."""
    mail.deliver("alice", big(8 * MIB))
    server = await imap_server()
    reader, writer = await server.connect()
    writer.write(b"a LOGIN alice testpass\r\nb SELECT INBOX\r\nc FETCH 1 BODY[]\r\n")
    async with asyncio.timeout(10):
        while not server.paused():
            await asyncio.sleep(0.01)
    session = next(iter(server.server.connections)).session
    count = 4000
    writer.write((b"x" * 1000 + b" NOOP\r\n") * count)
    most = answers = 0
    async with asyncio.timeout(60):
        while answers < count:
            line = await reader.readline()
            assert line
            answers += line.startswith(b"xxx")
            most = max(most, session.buffered)
    assert 0 < most < 2 * MAX_WAITING
    writer.close()


async def test_memory_stays_put(mail: Any, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MiB in and out: 8 MiB are enough, and a slow client is waited for."""
    size = 100 * MIB
    wire = Slow(mail.wire())
    client = await connect(wire=wire)
    piece = body(64 << 10)
    with memory_below(8 * MIB):
        client.session.receive(b"a APPEND INBOX {%d+}\r\n%b" % (size + len(HEADER), HEADER))
        for _ in range(size // len(piece)):
            client.session.receive(piece)
        assert b"+" not in client.take()
        client.session.receive(b"\r\n")
        await client.settle()
        assert client.take().startswith(b"a OK [APPENDUID ")
        assert b"OK" in await client.command("SELECT INBOX")
        wire.taken = wire.most = 0
        client.session.receive(b"b FETCH 1 BODY[]\r\n")
        await client.settle()
        assert wire.taken + len(wire.sent) > size
        assert wire.most < 4 * BATCH
    assert b" OK " in client.take()
