"""What Dovecot 2.3 has not, announced with ``hardmail_imap_extensions``: OBJECTID, APPENDLIMIT, REPLACE."""

from __future__ import annotations

import re
from typing import Any

import pytest

from imap.imap4.settings import Settings

MAIL = b"From: bob@b.test\r\nSubject: one\r\n\r\nFirst body\r\n"


@pytest.fixture
async def selected(mail: Any, connect: Any) -> Any:
    """A client with INBOX selected, which holds two messages."""
    mail.deliver("alice", MAIL, MAIL.replace(b"one", b"two"))
    client = await connect(settings=Settings(extensions=True))
    await client.command("SELECT INBOX")
    return client


async def test_they_are_announced_and_only_then(selected: Any, connect: Any) -> None:
    assert (await selected.lines("CAPABILITY"))[0].endswith(" OBJECTID REPLACE APPENDLIMIT=134217728")
    plain = await connect()
    assert "OBJECTID" not in (await plain.lines("CAPABILITY"))[0]
    await plain.command("SELECT INBOX")
    for command in ("FETCH 1 EMAILID", "SEARCH EMAILID x", "STATUS INBOX (MAILBOXID)", "REPLACE 1 INBOX {3+}\r\nabc"):
        assert (await plain.lines(command))[-1].startswith("BAD ")


async def test_objectid(selected: Any) -> None:
    """RFC 8474: a mailbox keeps its id when it is renamed, a message when it is copied."""
    assert (identity := re.search(r"\[MAILBOXID (\(\w+\))\] Create", (await selected.lines("CREATE a"))[-1]))
    await selected.command("RENAME a b")
    assert (await selected.lines("STATUS b (MAILBOXID)"))[0] == f"* STATUS b (MAILBOXID {identity[1]})"
    (line, _) = await selected.lines("FETCH 1 (EMAILID THREADID)")
    assert (email := re.fullmatch(r"\* 1 FETCH \(EMAILID \((\w+)\) THREADID NIL\)", line))
    await selected.command("COPY 1 b")
    assert await selected.lines(f"SEARCH EMAILID {email[1]}") == ["* SEARCH 1", "OK Search completed."]
    assert await selected.lines("SEARCH THREADID x") == ["* SEARCH", "OK Search completed."]
    lines = await selected.lines("SELECT b")
    assert f"* OK [MAILBOXID {identity[1]}] Ok" in lines
    assert email[1] in (await selected.lines("FETCH 1 EMAILID"))[0]


async def test_appendlimit(selected: Any) -> None:
    """RFC 7889: told for every mailbox, and what is bigger is refused before it is sent."""
    assert (await selected.lines("STATUS INBOX (APPENDLIMIT)"))[0] == "* STATUS INBOX (APPENDLIMIT 134217728)"
    assert b"a NO [TOOBIG] Message is too big" in await selected.send(b"a APPEND INBOX {134217729}\r\n")
    assert b"OK NOOP completed" in await selected.command("NOOP")


@pytest.mark.parametrize("command", ["REPLACE 1", "UID REPLACE 1"])
async def test_replace(selected: Any, command: str) -> None:
    """RFC 8508: the new message comes, the old one goes."""
    new = MAIL.replace(b"one", b"new")
    answer = await selected.command(b"%b INBOX (\\Seen) {%d+}\r\n%b" % (command.encode(), len(new), new))
    assert re.search(rb"\* OK \[APPENDUID \d+ 3\] .*\r\n\* 1 EXPUNGE\r\n\* 2 EXISTS\r\n", answer)
    assert b" OK Replace completed" in answer
    assert await selected.lines("SEARCH SUBJECT new SEEN") == ["* SEARCH 2", "OK Search completed."]


@pytest.mark.parametrize("command", ["REPLACE 1:2 INBOX", "REPLACE 9 INBOX", "REPLACE x INBOX"])
async def test_replace_takes_one_message_that_is_there(selected: Any, command: str) -> None:
    assert b" BAD " in await selected.command(command.encode() + b" {3+}\r\nabc")
    assert b" NO [TRYCREATE] " in await selected.send(b"a REPLACE 1 nosuch {100}\r\n")
    assert (await selected.lines("SEARCH ALL"))[0] == "* SEARCH 1 2"
