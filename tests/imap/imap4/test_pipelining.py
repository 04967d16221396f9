"""Commands sent one behind the other without waiting: which are answered first, and what they see, as with Dovecot."""

from __future__ import annotations

import re
from typing import Any

import pytest

MAIL = b"From: bob@b.test\r\nSubject: one\r\n\r\nFirst body\r\n"


@pytest.fixture
async def selected(mail: Any, connect: Any) -> Any:
    """A client with INBOX selected, which holds two messages."""
    mail.deliver("alice", MAIL, MAIL.replace(b"one", b"two"))
    client = await connect()
    await client.command("SELECT INBOX")
    return client


def tags(answer: bytes) -> list[str]:
    """The tags of the tagged answers, in order."""
    return [tag.decode() for tag in re.findall(rb"(?m)^(\w+) (?:OK|NO|BAD) ", answer)]


@pytest.mark.parametrize(
    ("commands", "order"),
    [
        # What brings the mailbox up to date waits for what does not.
        (["NOOP", "STATUS INBOX (MESSAGES)", "NOOP", "NAMESPACE"], "p2 p4 p1 p3"),
        # Four wait together, no more.
        (["NOOP"] * 6 + ["NAMESPACE", "NOOP"], "p1 p2 p3 p4 p7 p5 p6 p8"),
        # Numbers may not move for FETCH, so it is answered before NOOP; UID FETCH may wait with it.
        (["NOOP", "FETCH 1 UID", "UID FETCH 1 FLAGS"], "p2 p1 p3"),
        # A command that opens or closes a mailbox, or writes to one, comes when all before it are answered.
        (["NOOP", "SELECT INBOX", "NOOP", "CLOSE"], "p1 p2 p3 p4"),
        (["NOOP", "APPEND INBOX {3+}\r\nabc", "NAMESPACE"], "p1 p3 p2"),
        (["NOOP", "XYZZY", "FETCH 1"], "p2 p3 p1"),
    ],
)
async def test_order(selected: Any, commands: list[str], order: str) -> None:
    wire = "".join(f"p{number} {command}\r\n" for number, command in enumerate(commands, 1))
    assert tags(await selected.send(wire.encode())) == order.split()


async def test_nothing_waits_outside_of_a_mailbox(connect: Any) -> None:
    client = await connect()
    assert tags(await client.send(b'p1 NOOP\r\np2 LIST "" INBOX\r\np3 NOOP\r\n')) == ["p1", "p2", "p3"]


async def test_numbers_hold_until_the_expunge_is_told(selected: Any) -> None:
    answer = await selected.send(b"p1 STORE 1 +FLAGS.SILENT \\Deleted\r\np2 EXPUNGE\r\np3 FETCH 1 BODY.PEEK[TEXT]\r\n")
    assert b"* 1 FETCH (BODY[TEXT] {12}\r\nFirst body\r\n)\r\n" in answer
    assert tags(answer) == ["p1", "p3", "p2"]
    assert answer.index(b"p3 OK") < answer.index(b"* 1 EXPUNGE") < answer.index(b"p2 OK")


@pytest.mark.parametrize(
    "command",
    ["STATUS INBOX (MESSAGES)", 'LIST "" "*"', 'LSUB "" "*"', "CREATE x", "SUBSCRIBE INBOX", "NAMESPACE", "ID NIL"],
)
async def test_commands_about_other_things_tell_no_news(selected: Any, mail: Any, command: str) -> None:
    mail.deliver("alice", MAIL)
    assert b"EXISTS" not in await selected.command(command)
    assert b"* 3 EXISTS" in await selected.command("NOOP")


async def test_a_command_that_fails_still_tells_the_expunge(selected: Any, connect: Any) -> None:
    other = await connect()
    await other.command("CREATE x")
    await other.command("SELECT INBOX")
    await selected.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
    await selected.command("EXPUNGE")
    assert await other.lines("MOVE 1:2 x") == [
        "* 2 EXPUNGE",
        "NO [EXPUNGEISSUED] Some of the requested messages no longer exist.",
    ]
    assert (await other.lines("STATUS x (MESSAGES)"))[0] == "* STATUS x (MESSAGES 0)"
