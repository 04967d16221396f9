"""Extensions as dialogues: CATENATE, PREVIEW, SAVEDATE, CONTEXT=SEARCH, NOTIFY, QUOTA, IDLE of a mailbox that goes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from imap.imap4 import watching

MAIL = b"From: bob@b.test\r\nSubject: one\r\n\r\nFirst body\r\n"


@pytest.fixture
async def selected(mail: Any, connect: Any) -> Any:
    """A client with INBOX selected, which holds two messages."""
    mail.deliver("alice", MAIL, MAIL.replace(b"one", b"two"))
    client = await connect()
    await client.command("SELECT INBOX")
    return client


async def until(client: Any, text: bytes) -> bytes:
    """Wait until the server has said something unasked."""
    async with asyncio.timeout(10):
        while text not in client.wire.sent:
            await asyncio.sleep(0.01)
    answer: bytes = client.take()
    return answer


async def test_catenate(selected: Any) -> None:
    answer = await selected.command(
        b'APPEND INBOX (\\Seen) CATENATE (URL "/INBOX/;UID=1/;SECTION=HEADER" TEXT {5+}\r\nnew\r\n'
        b' URL ";UID=2/;SECTION=TEXT/;PARTIAL=0.5")'
    )
    assert b"APPENDUID" in answer
    assert await selected.lines("FETCH 3 BODY.PEEK[]") == [
        "* 3 FETCH (BODY[] {44}",
        "From: bob@b.test",
        "Subject: one",
        "",
        "new",
        "First)",
        "OK Fetch completed.",
    ]


@pytest.mark.parametrize(
    "url",
    ["/INBOX/;UID=9", "/nosuch/;UID=1", "/INBOX;UIDVALIDITY=1/;UID=1", "/../x/;UID=1", "http://x/", "", "/%00/;UID=1"],
)
async def test_a_bad_url_is_named(selected: Any, url: str) -> None:
    answer = await selected.lines(f'APPEND INBOX CATENATE (URL "{url}")')
    assert answer == [f'NO [BADURL "{url}"] CATENATE: Invalid URL.']
    assert (await selected.lines("STATUS INBOX (MESSAGES)"))[0] == "* STATUS INBOX (MESSAGES 2)"


async def test_preview(mail: Any, connect: Any) -> None:
    mail.deliver(
        "alice",
        b"Content-Type: text/html\r\n\r\n<html><head><title>Title</title></head><body><p>Hello &amp;\r\n  you</p></body></html>",
        b"Content-Type: image/png\r\n\r\nxxxx",
        b"Subject: long\r\n\r\n" + b"word " * 100,
    )
    client = await connect()
    await client.command("SELECT INBOX")
    assert (await client.lines("FETCH 1 (PREVIEW (LAZY))"))[0] == "* 1 FETCH (PREVIEW NIL)"
    lines = await client.lines("FETCH 1:3 PREVIEW")
    assert lines[0] == '* 1 FETCH (PREVIEW "Title Hello & you")'
    assert lines[1] == '* 2 FETCH (PREVIEW "")'
    assert len(lines[2]) == len('* 3 FETCH (PREVIEW "")') + 199
    assert (await client.lines("FETCH 1 (PREVIEW (LAZY))"))[0] == '* 1 FETCH (PREVIEW "Title Hello & you")'


async def test_savedate_stays_when_flags_change(selected: Any) -> None:
    (first, _) = await selected.lines("FETCH 1 SAVEDATE")
    assert re.fullmatch(r'\* 1 FETCH \(SAVEDATE "\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d \+0000"\)', first)
    await selected.command("STORE 1 +FLAGS.SILENT (\\Flagged)")
    assert (await selected.lines("FETCH 1 SAVEDATE"))[0] == first
    assert (await selected.lines("SEARCH SAVEDSINCE 1-Jan-2020"))[0] == "* SEARCH 1 2"


async def test_a_search_is_kept_up_to_date(mail: Any, selected: Any) -> None:
    assert (await selected.send(b"s SEARCH RETURN (UPDATE ALL) UNSEEN\r\n")).startswith(
        b'* ESEARCH (TAG "s") ALL 1:2\r\n'
    )
    assert '* ESEARCH (TAG "s") REMOVEFROM (0 1)' in await selected.lines("STORE 1 +FLAGS (\\Seen)")
    mail.deliver("alice", MAIL)
    assert '* ESEARCH (TAG "s") ADDTO (0 3)' in await selected.lines("NOOP")
    await selected.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
    lines = await selected.lines("EXPUNGE")
    assert lines.index('* ESEARCH (TAG "s") REMOVEFROM (0 2)') < lines.index("* 2 EXPUNGE")
    assert (await selected.lines('CANCELUPDATE "s"'))[-1] == "OK Updates cancelled."
    assert not any("ESEARCH" in line for line in await selected.lines("STORE 1 -FLAGS (\\Seen)"))


async def test_a_search_that_is_dear_to_keep_up_to_date_waits_for_nobody(
    mail: Any, selected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A big message is looked at in a thread; what it changes is told when that is over, or when no command runs."""
    looking, look = asyncio.Event(), asyncio.to_thread

    async def slowly(work: Any, *arguments: Any) -> Any:
        await looking.wait()
        return await look(work, *arguments)

    await selected.send(b"s SEARCH RETURN (UPDATE) BODY needle\r\n")
    await selected.send(b"u UID SEARCH RETURN (UPDATE) NOT BODY needle\r\n")
    monkeypatch.setattr(asyncio, "to_thread", slowly)
    mail.deliver("alice", MAIL + b"x\r\n" * 100_000 + b"needle\r\n", MAIL, MAIL + b"y\r\n" * 100_000)
    lines = await selected.lines("NOOP")
    assert "* 5 EXISTS" in lines and '* ESEARCH (TAG "u") UID ADDTO (0 4)' in lines
    assert (await selected.lines("NOOP"))[-1] == "OK NOOP completed."
    looking.set()
    answer = await until(selected, b'"u") UID ADDTO')
    assert b'* ESEARCH (TAG "s") ADDTO (0 3)\r\n' in answer and b'* ESEARCH (TAG "u") UID ADDTO (0 5)\r\n' in answer


async def test_a_mailbox_may_be_left_while_a_search_is_kept_up_to_date(mail: Any, selected: Any) -> None:
    await selected.send(b"s SEARCH RETURN (UPDATE) BODY needle\r\n")
    mail.deliver("alice", MAIL + b"needle\r\n" * 100_000)
    await selected.send(b"a NOOP\r\nb CLOSE\r\nc SELECT INBOX\r\n")
    for _ in range(50):
        await asyncio.sleep(0)
    assert await selected.lines("NOOP") == ["OK NOOP completed."]


async def test_dovecots_own_search_keys(selected: Any) -> None:
    guid = (await selected.lines("FETCH 2 X-GUID"))[0].split()[-1].rstrip(")").strip('"')
    for keys, found in (
        (f"X-GUID {guid}", " 2"),
        ("X-GUID abc", ""),
        ("X-MAILBOX inbox", " 1 2"),
        ("X-MAILBOX nosuch", ""),
        ("X-REAL-UID 2:*", " 2"),
        ("NOT X-REAL-UID 2", " 1"),
        ("X-SAVEDBEFORE 1-Jan-2000", ""),
    ):
        assert await selected.lines(f"SEARCH {keys}") == ["* SEARCH" + found, "OK Search completed."], keys
    for keys, complaint in (
        ("X-REAL-UID x", "Invalid X-REAL-UID messageset"),
        ("X-REAL-UID $", "Invalid X-REAL-UID messageset"),
        ("X-PRIORITY 1", "Unknown argument X-PRIORITY"),
    ):
        assert await selected.lines(f"SEARCH {keys}") == [f"BAD Error in IMAP command SEARCH: {complaint}."]


async def test_partial_results(selected: Any) -> None:
    assert re.fullmatch(
        r'\* ESEARCH \(TAG "t\d+"\) PARTIAL \(2:5 2\) COUNT 2',
        (await selected.lines("SEARCH RETURN (PARTIAL 5:2 COUNT) ALL"))[0],
    )


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK", 0.01)


async def test_notify_tells_of_the_selected_mailbox_without_being_asked(mail: Any, selected: Any) -> None:
    await selected.command("NOTIFY SET (SELECTED (MessageNew (UID FLAGS) MessageExpunge))")
    mail.deliver("alice", MAIL)
    answer = await until(selected, b"FETCH")
    assert b"* 3 EXISTS\r\n" in answer
    assert b"* 3 FETCH (UID 3 FLAGS (\\Recent))\r\n" in answer


async def test_notify_tells_of_other_mailboxes(mail: Any, selected: Any, connect: Any, looks_often: None) -> None:
    other = await connect()
    await other.command("CREATE x")
    answer = await selected.command(
        "NOTIFY SET STATUS (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))"
    )
    assert b"* STATUS x (MESSAGES 0 UIDNEXT 1 UIDVALIDITY " in answer
    mail.deliver("alice", MAIL, folder="x")
    assert b"* STATUS x (MESSAGES 1 UIDNEXT 2 UNSEEN 1 HIGHESTMODSEQ " in await until(selected, b"STATUS")
    await other.command("CREATE y")
    assert await until(selected, b"LIST") == b'* LIST () "." y\r\n'
    await other.command("RENAME y z")
    assert await until(selected, b"OLDNAME") == b'* LIST () "." z ("OLDNAME" (y))\r\n'
    await other.command("SUBSCRIBE z")
    assert await until(selected, b"Subscribed") == b'* LIST (\\Subscribed) "." z\r\n'
    await other.command("DELETE z")
    assert b'* LIST (\\NonExistent) "." z\r\n' in await until(selected, b"NonExistent")


async def test_notify_without_the_selected_mailbox_is_silent_about_it(mail: Any, selected: Any) -> None:
    await selected.command("NOTIFY SET (PERSONAL (MailboxName))")
    mail.deliver("alice", MAIL)
    assert await selected.lines("NOOP") == ["OK NOOP completed."]
    assert "* 3 EXISTS" in await selected.lines("NOTIFY NONE")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ("", "BAD Error in IMAP command NOTIFY: Invalid arguments"),
        ("SET ()", "BAD Error in IMAP command NOTIFY: "),
        (
            "SET (SELECTED (MessageNew))",
            "BAD Error in IMAP command NOTIFY: MessageNew and MessageExpunge must be together",
        ),
        (
            "SET (SELECTED (FlagChange))",
            "BAD Error in IMAP command NOTIFY: FlagChange requires MessageNew and MessageExpunge",
        ),
        (
            "SET (SELECTED (MessageNew (FOO) MessageExpunge))",
            "BAD Error in IMAP command NOTIFY: Unknown parameter: FOO",
        ),
        ("SET (PERSONAL (MessageNew (UID) MessageExpunge))", "BAD Error in IMAP command NOTIFY: Invalid arguments"),
        ("SET (PERSONAL (AnnotationChange))", "NO [BADEVENT AnnotationChange] Unsupported NOTIFY events"),
    ],
)
async def test_what_notify_refuses(selected: Any, arguments: str, answer: str) -> None:
    (line,) = await selected.lines(f"NOTIFY {arguments}")
    assert line.startswith(answer)


async def test_modseq_of_a_search_for_min_or_max_is_that_message_s(selected: Any) -> None:
    """RFC 7162 section 3.1.5."""
    modseqs = []
    await selected.command("FETCH 1 MODSEQ")
    for number in (1, 2):
        lines = await selected.lines(f"STORE {number} +FLAGS (\\Seen)")
        modseqs.append(re.findall(r"MODSEQ \((\d+)\)", lines[0])[0])
    for what, modseq in (("MIN", modseqs[0]), ("MAX", modseqs[1]), ("MIN COUNT", modseqs[1])):
        (line, _) = await selected.lines(f"SEARCH RETURN ({what}) MODSEQ 1")
        assert line.endswith(f" MODSEQ {modseq}")


async def test_a_binary_literal_is_kept_in_base64(selected: Any) -> None:
    """RFC 3516 section 4.4: what APPEND takes as ``~{n}`` comes back octet by octet, in lines meanwhile."""
    octets = b"\0-\xe4\n\r\n\n"
    mail = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets
    assert b"APPENDUID" in await selected.command(b"APPEND INBOX ~{%d+}\r\n%b" % (len(mail), mail))
    answer = await selected.command("FETCH 3 (BODY.PEEK[1] BINARY.SIZE[1] BINARY.PEEK[1])")
    assert b"BODY[1] {12}\r\nAC3kCg0KCg== BINARY.SIZE[1] 7 BINARY[1] ~{7}\r\n" + octets in answer


async def test_quoted_printable_loses_the_white_space_at_line_ends(mail: Any, connect: Any) -> None:
    """RFC 2045 section 6.7 rule 3; before and behind the sign of a soft line end too."""
    encoded = b"a  \r\nb\t= \r\n=63  =\r\n\r\n"
    mail.deliver("alice", b"Content-Transfer-Encoding: quoted-printable\r\nMime-Version: 1\r\n\r\n" + encoded)
    client = await connect()
    await client.command("SELECT INBOX")
    assert b"BINARY[1] {10}\r\na\r\nb\tc  \r\n" in await client.command("FETCH 1 BINARY[1]")


async def test_a_long_id_is_taken_before_log_in(connect: Any) -> None:
    """RFC 2971 section 3.3: thirty fields of 30 and 1024 octets are no abuse, and no other command is that long."""
    fields = " ".join(f'"{"n" * 28}{number:02}" "{"v" * 1024}"' for number in range(30))
    client = await connect(user=None)
    assert (await client.lines(f"ID ({fields})"))[-1] == "OK ID completed."
    assert b"BYE Too long argument" in await client.command(f"IDX ({fields})")


async def test_idle_in_a_mailbox_that_is_deleted(connect: Any) -> None:
    client, other = await connect(), await connect()
    await client.command("CREATE x")
    await client.command("SELECT x")
    await client.send(b"a IDLE\r\n")
    await other.command("DELETE x")
    await client.send(b"DONE\r\n")
    await client.command("NOOP")
    assert client.wire.closed
