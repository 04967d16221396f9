"""IMAP as a dialogue: what a session answers, command by command, as Dovecot answers it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from imap.store import Mailbox

from .conftest import MAIL


async def test_qresync_clients_hear_of_the_modseq_that_they_cannot_tell(selected: Any, connect: Any, mail: Any) -> None:
    """RFC 7162 section 3.2.7: after EXISTS or VANISHED with the tagged OK, not where a FETCH had it."""
    client = await connect()
    await client.command("ENABLE QRESYNC")
    lines = await client.lines("SELECT INBOX")
    (validity,) = [line.split()[3].rstrip("]") for line in lines if "UIDVALIDITY" in line]
    mail.deliver("alice", MAIL)
    assert re.fullmatch(r"OK \[HIGHESTMODSEQ \d+\] NOOP completed\.", (await client.lines("NOOP"))[-1])
    await selected.command("STORE 1 +FLAGS.SILENT (\\Flagged)")
    assert (await client.lines("NOOP"))[-1] == "OK NOOP completed."
    answer = await client.command("FETCH 2 BODY[TEXT]<0.1>")
    assert re.search(rb"FLAGS \(\\Seen\) MODSEQ \(\d+\) UID 2\)", answer)
    assert b"HIGHESTMODSEQ" not in answer
    for known in ("1:2", "1:3"):
        await client.command("UNSELECT")
        lines = await client.lines(f"SELECT INBOX (QRESYNC ({validity} 1 {known}))")
        assert any("UID 3 " in line for line in lines if " FETCH " in line) is (known == "1:3")


async def test_what_is_no_tag_is_not_repeated(connect: Any) -> None:
    """RFC 3501 section 7.1.3: what cannot be tied to a command is answered untagged."""
    client = await connect()
    answers = [await client.send(line) for line in (b"a(b NOOP\r\n", b"a(~{2+}\r\nxx\r\n", b"(b NOOP {99999999+}\r\n")]
    assert [answer[:6] for answer in answers] == [b"* BAD ", b"* BAD ", b"* BYE "]


async def test_select_announces_the_mailbox(selected: Any) -> None:
    lines = await selected.lines("SELECT INBOX")
    assert lines[0] == "* OK [CLOSED] Previous mailbox closed."
    assert lines[1] == "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)"
    assert "* 2 EXISTS" in lines
    assert "* 0 RECENT" in lines
    assert "* OK [UNSEEN 1] First unseen." in lines
    assert "* OK [UIDNEXT 3] Predicted next UID" in lines
    assert lines[-1] == "OK [READ-WRITE] Select completed."


async def test_examine_changes_nothing(selected: Any) -> None:
    assert (await selected.lines("EXAMINE INBOX"))[-1] == "OK [READ-ONLY] Examine completed."
    assert await selected.lines("STORE 1 +FLAGS (\\Deleted)") == ["OK Store ignored with read-only mailbox."]
    assert await selected.lines("EXPUNGE") == ["OK Expunge completed."]
    await selected.command("FETCH 1 BODY[]")
    assert await selected.lines("FETCH 1 FLAGS") == ["* 1 FETCH (FLAGS ())", "OK Fetch completed."]


async def test_fetch(selected: Any) -> None:
    assert await selected.lines("FETCH 1 (UID RFC822.SIZE BODY.PEEK[TEXT]<1.3>)") == [
        f"* 1 FETCH (UID 1 RFC822.SIZE {len(MAIL)} BODY[TEXT]<1> {{3}}",
        "ell)",
        "OK Fetch completed.",
    ]
    assert (await selected.lines("UID FETCH 2 ENVELOPE"))[0] == (
        '* 2 FETCH (UID 2 ENVELOPE (NIL "Re: one" ((NIL NIL "bob" "b.test")) ((NIL NIL "bob" "b.test")) '
        '((NIL NIL "bob" "b.test")) NIL NIL NIL NIL "<2@b>"))'
    )


async def test_fetching_a_body_sets_seen_and_says_so_once(selected: Any) -> None:
    assert (await selected.lines("FETCH 1 BODY[TEXT]"))[1] == "Hello"
    assert (await selected.command("FETCH 2 BODY[TEXT]")).split(b"\r\n")[-3] == b" FLAGS (\\Seen \\Recent))"
    assert b"FLAGS" not in await selected.command("FETCH 2 BODY[TEXT]")


async def test_enveloped_values_are_kept_and_equal(selected: Any) -> None:
    first = await selected.lines("FETCH 1:2 (ENVELOPE BODYSTRUCTURE BODY)")
    assert await selected.lines("FETCH 1:2 (ENVELOPE BODYSTRUCTURE BODY)") == first


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("FETCH 3 FLAGS", "BAD Error in IMAP command FETCH: Invalid messageset"),
        ("FETCH 1 ()", "BAD Error in IMAP command FETCH: FETCH list is empty"),
        ("FETCH 1 FOO", "BAD Error in IMAP command FETCH: Unknown parameter: FOO"),
        ("FETCH 1 BODY[1.]", "BAD Error in IMAP command FETCH: Invalid BODY[..] section"),
        ("FETCH 1 BODY[TEXT", "BAD Error in IMAP command FETCH: Invalid BODY[..] parameter: Missing ']'"),
        ("FETCH 1", "BAD Error in IMAP command FETCH: Missing arguments"),
        ("STORE 1 FLAGS x]y", "NO [CANNOT] Invalid characters in keyword"),
        ("STORE 1 +FLAGS (\\Foo)", "BAD Error in IMAP command STORE: Invalid system flag \\FOO"),
        ("SEARCH SEEN x", "BAD Error in IMAP command SEARCH: Unknown argument X"),
        ("SEARCH", "BAD Error in IMAP command SEARCH: Missing search parameters"),
        ("SEARCH CHARSET X-FOO ALL", "NO [BADCHARSET] Unknown charset"),
        ("SEARCH CHARSET X-FOO SEEN x", "BAD Error in IMAP command SEARCH: Unknown argument X"),
        ("SEARCH RETURN (PARTIAL) ALL", "BAD Error in IMAP command SEARCH: PARTIAL range missing"),
        ("SORT (FOO) UTF-8 ALL", "BAD Error in IMAP command SORT: Unknown sort argument: FOO"),
        ("UID FOO", "BAD Error in IMAP command UID FOO: Unknown command"),
        ("UID", "BAD Error in IMAP command: Invalid command name"),
        ("LOGIN a b", "BAD Error in IMAP command LOGIN: Unknown command"),
        ("COPY 1 nosuch", "NO [TRYCREATE] Mailbox doesn't exist: nosuch"),
        ("DELETE nosuch", "NO [NONEXISTENT] Mailbox doesn't exist: nosuch"),
        ("STATUS nosuch (MESSAGES)", "NO Mailbox doesn't exist: nosuch"),
        ("STATUS INBOX ()", "BAD Error in IMAP command STATUS: Empty status list"),
        ("SELECT ../escape", "NO [CANNOT] Invalid mailbox name"),
        ("CREATE &AGE-", "NO Mailbox name is not valid mUTF-7"),
        ('LIST (FOO) "" *', "BAD Error in IMAP command LIST: Unknown select options"),
    ],
)
async def test_what_is_refused(selected: Any, command: str, answer: str) -> None:
    line = (await selected.lines(command))[-1]
    assert line.startswith(answer), line


async def test_store(selected: Any) -> None:
    assert await selected.lines("STORE 1 +FLAGS (\\Flagged)") == [
        "* 1 FETCH (FLAGS (\\Flagged \\Recent))",
        "OK Store completed.",
    ]
    assert await selected.lines("STORE 1 +FLAGS (\\Flagged)") == ["OK Store completed."]  # nothing changed
    assert await selected.lines("UID STORE 2 FLAGS.SILENT (\\Seen)") == ["OK Store completed."]
    lines = await selected.lines("STORE 2 +FLAGS (Label)")
    assert lines[0] == "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft Label)"
    assert lines[2] == "* 2 FETCH (FLAGS (\\Seen \\Recent Label))"


async def test_expunge_shifts_the_numbers(selected: Any) -> None:
    await selected.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert await selected.lines("EXPUNGE") == ["* 1 EXPUNGE", "* 1 RECENT", "OK Expunge completed."]
    assert await selected.lines("FETCH 1 UID") == ["* 1 FETCH (UID 2)", "OK Fetch completed."]


async def test_another_session_sees_an_expunge_only_when_numbers_may_move(
    mail: Any, selected: Any, connect: Any
) -> None:
    """RFC 3501 section 7.4.1: no EXPUNGE during FETCH, STORE or SEARCH."""
    other = await connect()
    await other.command("SELECT INBOX")
    await selected.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await selected.command("EXPUNGE")
    answer = await other.lines("FETCH 2 UID")
    assert answer == ["* 2 FETCH (UID 2)", "* 1 FETCH (FLAGS (\\Deleted))", "OK Fetch completed."]
    assert await other.lines("SEARCH ALL") == ["* SEARCH 1 2", "OK Search completed."]
    assert await other.lines("FETCH 1 (UID BODY.PEEK[TEXT] ENVELOPE)") == [
        "* 1 FETCH (UID 1 BODY[TEXT] NIL ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL))",
        "OK [EXPUNGEISSUED] Some messages were already expunged.",
    ]
    assert await other.lines("STORE 1 +FLAGS.SILENT (\\Seen)") == ["OK Store completed."]
    assert await other.lines("NOOP") == ["* 1 EXPUNGE", "OK NOOP completed."]


async def test_copy_and_move(selected: Any) -> None:
    await selected.command("CREATE B")
    assert (await selected.lines("COPY 1:2 B"))[-1].startswith("OK [COPYUID ")
    lines = await selected.lines("MOVE 1 B")
    assert lines[0].startswith("* OK [COPYUID ")
    assert lines[0].endswith(" 1 3] Moved UIDs.")
    assert lines[1:] == ["* 1 EXPUNGE", "* 1 RECENT", "OK Move completed."]
    assert (await selected.lines("STATUS B (MESSAGES)"))[0] == "* STATUS B (MESSAGES 3)"


async def test_append(connect: Any) -> None:
    client = await connect()
    answer = await client.command(b'APPEND INBOX (\\Seen) "05-Feb-2020 10:11:12 +0200" {%d+}\r\n%b' % (len(MAIL), MAIL))
    assert b"OK [APPENDUID " in answer
    await client.command("SELECT INBOX")
    assert (await client.lines("FETCH 1 (FLAGS INTERNALDATE)"))[0] == (
        '* 1 FETCH (FLAGS (\\Seen \\Recent) INTERNALDATE "05-Feb-2020 08:11:12 +0000")'
    )


async def test_append_to_nowhere_is_refused_before_the_message_is_sent(connect: Any) -> None:
    client = await connect()
    assert b"NO [TRYCREATE] Mailbox doesn't exist: nosuch" in await client.send(b"a APPEND nosuch {100000}\r\n")
    assert b"a OK NOOP completed" in await client.send(b"a NOOP\r\n")


async def test_several_messages_are_appended_at_once(connect: Any) -> None:
    client = await connect()
    answer = await client.command(b"APPEND INBOX {3+}\r\na\r\n (\\Seen) {3+}\r\nb\r\n")
    assert b" 1:2] Append completed" in answer
    assert b"Can't save a zero byte message" in await client.command(b"APPEND INBOX {0+}\r\n")


async def test_fetch_says_the_same_from_memory_and_from_the_file(selected: Any) -> None:
    """What is known is answered in one go, in the form that reading gives."""
    items = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
    first = await selected.lines(items)
    assert first == await selected.lines(items)
    assert len(first) == 3
    assert await selected.lines("FETCH 2 FLAGS") == ["* 2 FETCH (FLAGS (\\Recent))", "OK Fetch completed."]


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        ("01-Jan-2024 10:00:00 GMT", "01-Jan-2024 10:00:00 +0000"),
        ("01-Jan-2024 10:00:60 +0100", "01-Jan-2024 09:00:59 +0000"),
        ("31-Feb-2001 10:00:00 +0000", None),
        ("01-Jan-2001 25:00:00 +0000", None),
    ],
)
async def test_appended_dates(connect: Any, date: str, shown: str | None) -> None:
    """A day that no calendar has is now, as with Dovecot."""
    client = await connect()
    await client.command(f'APPEND INBOX "{date}" {{1+}}\r\nx')
    await client.command("SELECT INBOX")
    line = (await client.lines("FETCH 1 INTERNALDATE"))[0]
    assert (shown in line) if shown else ("2001" not in line)


async def test_deleting_the_selected_mailbox_ends_the_session(connect: Any) -> None:
    client = await connect()
    await client.command("CREATE a")
    await client.command("SELECT a")
    answer = await client.command("DELETE a")
    assert answer.endswith(b"* BYE Selected mailbox was deleted, have to disconnect.\r\n")
    assert b" OK Delete completed" in answer


async def test_status_of_the_selected_mailbox_is_what_the_client_was_told(selected: Any, mail: Any) -> None:
    mail.deliver("alice", MAIL)
    assert (await selected.lines("STATUS INBOX (MESSAGES UIDNEXT UNSEEN)"))[0] == (
        "* STATUS INBOX (MESSAGES 2 UIDNEXT 3 UNSEEN 2)"
    )
    await selected.command("NOOP")
    assert (await selected.lines("STATUS inbox (MESSAGES)"))[0] == "* STATUS inbox (MESSAGES 3)"


async def test_list(connect: Any) -> None:
    client = await connect()
    for name in ("a", "a.b.c", '"x y"'):
        await client.command(f"CREATE {name}")
    assert sorted(await client.lines('LIST "" "%"')) == [
        '* LIST (\\HasChildren) "." a',
        '* LIST (\\HasNoChildren) "." "x y"',
        '* LIST (\\HasNoChildren) "." INBOX',
        "OK List completed.",
    ]
    assert (await client.lines('LIST "" a.b'))[0] == '* LIST (\\Noselect \\HasChildren) "." a.b'
    assert await client.lines('LIST "" ""') == ['* LIST (\\Noselect) "." ""', "OK List completed."]


async def test_subscriptions(connect: Any) -> None:
    client = await connect()
    await client.command("CREATE a.b")
    await client.command("SUBSCRIBE a.b")
    assert (await client.lines('LSUB "" "*"'))[0] == '* LSUB () "." a.b'
    assert (await client.lines('LSUB "" "%"'))[0] == '* LSUB (\\NoSelect) "." a'
    assert (await client.lines('LIST (SUBSCRIBED) "" "*" RETURN (STATUS (MESSAGES))'))[:2] == [
        '* LIST (\\Subscribed) "." a.b',
        "* STATUS a.b (MESSAGES 0)",
    ]


async def test_condstore(selected: Any) -> None:
    lines = await selected.lines("FETCH 1 MODSEQ")
    assert lines[0].startswith("* OK [HIGHESTMODSEQ ")
    modseq = lines[0].split()[3].rstrip("]")
    await selected.command("STORE 2 +FLAGS (\\Flagged)")
    assert (await selected.lines(f"STORE 1:2 (UNCHANGEDSINCE {modseq}) +FLAGS (\\Answered)"))[-1] == (
        "OK [MODIFIED 2] Conditional store failed."
    )
    assert (await selected.lines(f"FETCH 1:2 FLAGS (CHANGEDSINCE {modseq})"))[0].startswith(
        "* 1 FETCH (FLAGS (\\Answered"
    )


async def test_qresync(selected: Any, connect: Any) -> None:
    client = await connect()
    assert await client.lines("ENABLE QRESYNC") == ["* ENABLED QRESYNC", "OK Enabled."]
    lines = await client.lines("SELECT INBOX")
    value = {
        word: line.split()[3].rstrip("]") for line in lines for word in ("UIDVALIDITY", "HIGHESTMODSEQ") if word in line
    }
    await selected.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await selected.command("EXPUNGE")
    answer = await client.lines("NOOP")
    assert answer[0] == "* VANISHED 1"
    assert answer[-1].startswith("OK [HIGHESTMODSEQ ")
    await client.command("UNSELECT")
    again = await client.lines(f"SELECT INBOX (QRESYNC ({value['UIDVALIDITY']} {value['HIGHESTMODSEQ']}))")
    assert "* VANISHED (EARLIER) 1" in again


async def test_idle_tells_at_once(mail: Any, selected: Any) -> None:
    assert await selected.send(b"a IDLE\r\n") == b"+ idling\r\n"
    mail.deliver("alice", MAIL)
    async with asyncio.timeout(10):
        while b"RECENT" not in selected.wire.sent:
            await asyncio.sleep(0.01)
    assert b"* 3 EXISTS\r\n* 3 RECENT\r\n" in selected.take()
    assert b"a OK Idle completed" in await selected.send(b"DONE\r\n")


async def test_binary(mail: Any, connect: Any) -> None:
    mail.deliver("alice", b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nAGE=\r\n")
    client = await connect()
    await client.command("SELECT INBOX")
    assert b"BINARY[1] ~{2}\r\n\0a)" in await client.command("FETCH 1 BINARY.PEEK[1]")
    assert b"BINARY.SIZE[1] 2)" in await client.command("FETCH 1 BINARY.SIZE[1]")


async def test_commands_after_logout_are_not_run(connect: Any) -> None:
    client = await connect()
    answer = await client.send(b"a LOGOUT\r\nb NOOP\r\n")
    assert answer.startswith(b"* BYE Logging out\r\na OK Logout completed")
    assert b"b OK" not in answer
    assert client.wire.closed


async def test_pipelined_commands_are_answered_in_order(connect: Any) -> None:
    client = await connect(user=None)
    answer = await client.send(b"a LOGIN alice testpass\r\nb SELECT INBOX\r\nc FETCH 1:* FLAGS\r\nd NOOP\r\n")
    tagged = [line.split()[0] for line in answer.split(b"\r\n") if line[:2] in (b"a ", b"b ", b"c ", b"d ")]
    assert tagged == [b"a", b"b", b"c", b"d"]


async def test_a_fault_of_ours_ends_the_session_with_a_word(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await connect()
    monkeypatch.setattr(type(client.session), "capabilities", lambda self: 1 / 0)
    assert await client.command("CAPABILITY") == (
        b"* BYE Internal error occurred. Refer to server log for more information.\r\n"
    )


async def test_drain_says_bye(connect: Any) -> None:
    client = await connect()
    client.session.drain()
    assert client.take() == b"* BYE Server shutting down.\r\n"
    assert client.wire.closed


async def test_what_goes_while_a_mailbox_is_opened_is_not_counted(
    mail: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between SELECT's first look and its second another session expunges: the client never hears of that message."""
    mail.deliver("alice", MAIL, MAIL, MAIL)
    other, client = await connect(), await connect()
    await other.command("SELECT INBOX")
    await other.command("STORE 2 +FLAGS.SILENT (\\Deleted)")
    sync = Mailbox.sync

    def late(mailbox: Mailbox) -> Any:
        monkeypatch.setattr(Mailbox, "sync", sync)
        other.session.receive(b"x EXPUNGE\r\n")
        return sync(mailbox)

    monkeypatch.setattr(Mailbox, "sync", late)
    assert "* 2 EXISTS" in await client.lines("SELECT INBOX")
    assert await client.lines("FETCH 1:* UID") == ["* 1 FETCH (UID 1)", "* 2 FETCH (UID 3)", "OK Fetch completed."]
    assert await client.lines("NOOP") == ["OK NOOP completed."]
