"""A mail that takes long to read keeps only its own session waiting."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from imap.imap4 import fetch
from imap.imap4.content import HEAVY
from imap.mime import body, envelope, parse

HEAVY_MAIL = b"To: " + b"a@b, " * (HEAVY // 5) + b"\r\nContent-Type: text/plain\r\n\r\ntext\r\n"


async def test_a_heavy_mail_is_taken_apart_beside_the_loop(
    mail: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    ticking = threading.Event()

    def watched(part: Any, message: bytes) -> bytes:
        threads.append(threading.current_thread())
        assert ticking.wait(10), "the loop goes on meanwhile"
        return envelope(part, message)

    monkeypatch.setattr(fetch, "envelope", watched)
    mail.deliver("alice", HEAVY_MAIL)
    client = await connect()
    await client.command("SELECT INBOX")
    client.session.receive(b"x FETCH 1 (ENVELOPE BODYSTRUCTURE RFC822.HEADER)\r\n")
    async with asyncio.timeout(10):
        while not threads:
            await asyncio.sleep(0.001)
    ticking.set()
    await client.settle()
    answer = client.take()
    root = parse(HEAVY_MAIL)
    assert envelope(root, HEAVY_MAIL) in answer
    assert body(root, HEAVY_MAIL, extended=True) in answer
    assert HEAVY_MAIL[: root.body] in answer
    assert threads != [threading.main_thread()]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ('SEARCH FROM "nobody" UNSEEN', b"* SEARCH\r\n"),
        ("SEARCH BODY text", b"* SEARCH 1\r\n"),
        ("SORT (TO) UTF-8 ALL", b"* SORT 1\r\n"),
        ("THREAD REFS UTF-8 ALL", b"* THREAD (1)\r\n"),
        ("FETCH 1 PREVIEW", b'* 1 FETCH (PREVIEW "text")\r\n'),
        ("FETCH 1 PREVIEW (LAZY)", None),
    ],
)
async def test_heavy_mail_is_searched_and_sorted_beside_the_loop(
    mail: Any, connect: Any, monkeypatch: pytest.MonkeyPatch, command: str, answer: bytes | None
) -> None:
    used: list[object] = []

    async def to_thread(work: Any, *arguments: Any) -> Any:
        used.append(work)
        return work(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    mail.deliver("alice", HEAVY_MAIL)
    client = await connect()
    await client.command("SELECT INBOX")
    said = await client.command(command)
    assert (answer or b"* 1 FETCH (PREVIEW NIL)\r\n") in said
    assert bool(used) is (answer is not None)


async def test_a_stranger_cannot_make_the_server_hold_literals(connect: Any) -> None:
    client = await connect(None)
    piece = b"x" * 4096
    answer = await client.send(b"a LOGIN" + b" {4096+}\r\n" + piece + b" {4096+}\r\n" + piece + b" {1+}\r\n")
    assert answer == b"* BYE Literal size too large\r\n"
    user = await connect()
    assert b"Literal" not in await user.send(
        b"a LIST {9000+}\r\n" + b"x" * 9000 + b" {9000+}\r\n" + b"y" * 9000 + b"\r\n"
    )
