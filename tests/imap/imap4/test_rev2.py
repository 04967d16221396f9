"""IMAP4rev2 (RFC 9051) and UTF8=ACCEPT (RFC 6855): nothing changes before ENABLE, and then what the RFCs say."""

from __future__ import annotations

from typing import Any

import pytest

from imap.imap4.settings import Settings

MAIL = b"From: bob@b.test\r\nSubject: one\r\n\r\nFirst body\r\n"
SETTINGS = Settings(extensions=True)


@pytest.fixture
async def client(mail: Any, connect: Any) -> Any:
    mail.deliver("alice", MAIL, MAIL.replace(b"one", b"two"))
    return await connect(settings=SETTINGS)


@pytest.fixture
async def rev2(client: Any) -> Any:
    assert await client.lines("ENABLE IMAP4rev2 IMAP4rev2 FOO") == ["* ENABLED IMAP4rev2", "OK Enabled."]
    return client


async def test_they_are_announced_where_they_can_be_enabled(client: Any, connect: Any) -> None:
    assert " IMAP4rev2 UTF8=ACCEPT " in (await client.lines("CAPABILITY"))[0]
    stranger = await connect(user=None, settings=SETTINGS)
    assert b" IMAP4rev2 " in stranger.greeting
    plain = await connect()
    assert "IMAP4rev2" not in (await plain.lines("CAPABILITY"))[0]
    assert await plain.lines("ENABLE IMAP4rev2 UTF8=ACCEPT") == ["OK Enabled."]
    stranger = await connect(user=None)
    assert b"IMAP4rev2" not in stranger.greeting


async def test_select_says_nothing_of_recent_and_unseen_and_names_the_mailbox(rev2: Any) -> None:
    lines = await rev2.lines("SELECT inbox")
    assert lines[:3] == [
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)",
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Flags permitted.",
        "* 2 EXISTS",
    ]
    assert '* LIST () "." INBOX ("OLDNAME" (inbox))' in lines
    assert not any("RECENT" in line or "UNSEEN" in line for line in lines)
    assert not any("HIGHESTMODSEQ" in line for line in lines)  # that would be CONDSTORE
    assert await rev2.lines("FETCH 1:2 FLAGS") == [
        "* 1 FETCH (FLAGS ())",
        "* 2 FETCH (FLAGS ())",
        "OK Fetch completed.",
    ]
    lines = await rev2.lines("EXAMINE INBOX")
    assert lines[0] == "* OK [CLOSED] Previous mailbox closed." and '* LIST () "." INBOX' in lines


async def test_new_mail_comes_without_recent(rev2: Any, mail: Any) -> None:
    await rev2.command("SELECT INBOX")
    mail.deliver("alice", MAIL)
    assert await rev2.lines("NOOP") == ["* 3 EXISTS", "OK NOOP completed."]


async def test_it_may_be_enabled_late(client: Any, mail: Any) -> None:
    await client.command("SELECT INBOX")
    assert (await client.lines("FETCH 1 FLAGS"))[0] == "* 1 FETCH (FLAGS (\\Recent))"
    await client.command("ENABLE IMAP4rev2")
    assert (await client.lines("FETCH 1 FLAGS"))[0] == "* 1 FETCH (FLAGS ())"


async def test_search_is_answered_with_esearch(rev2: Any) -> None:
    await rev2.command("SELECT INBOX")
    assert (await rev2.lines("SEARCH ALL"))[0].endswith('") ALL 1:2')
    assert (await rev2.lines("UID SEARCH SUBJECT two"))[0].endswith('") UID ALL 2')
    assert (await rev2.lines("SEARCH SUBJECT none"))[0].startswith('* ESEARCH (TAG "')
    assert (await rev2.lines("SEARCH CHARSET UTF-8 SUBJECT one"))[0].endswith(" ALL 1")
    assert (await rev2.lines("SORT (SUBJECT) UTF-8 ALL"))[0] == "* SORT 1 2"


async def test_status_tells_what_is_deleted(client: Any, connect: Any) -> None:
    await client.command("SELECT INBOX")
    await client.command("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await client.command("UNSELECT")
    assert (await client.lines("STATUS INBOX (DELETED SIZE)"))[0] == f"* STATUS INBOX (DELETED 1 SIZE {2 * len(MAIL)})"
    plain = await connect()
    assert (await plain.lines("STATUS INBOX (DELETED)"))[-1].startswith("BAD ")


async def test_rename_tells_the_old_name(rev2: Any) -> None:
    await rev2.command("CREATE a")
    assert await rev2.lines('RENAME a "b c"') == ['* LIST () "." "b c" ("OLDNAME" (a))', "OK Rename completed."]


@pytest.mark.parametrize("form", ["IMAP4rev2", "UTF8=ACCEPT"])
async def test_names_are_utf8(client: Any, connect: Any, form: str) -> None:
    assert await client.lines(f"ENABLE {form}") == [f"* ENABLED {form}", "OK Enabled."]
    assert (await client.lines('CREATE "Entwürfe & Mehr"'))[-1].startswith("OK ")
    literal = "Gesendet/日本".replace("/", ".").encode()
    assert b" OK " in await client.command(b"CREATE {%d+}\r\n%b" % (len(literal), literal))
    assert await client.lines('LIST "" "*ü*"') == [
        '* LIST (\\HasNoChildren) "." "Entwürfe & Mehr"',
        "OK List completed.",
    ]
    assert (await client.lines('LIST "Gesendet." "日%"'))[0] == '* LIST (\\HasNoChildren) "." "Gesendet.日本"'
    assert (await client.lines('STATUS "Entwürfe & Mehr" (MESSAGES)'))[0] == '* STATUS "Entwürfe & Mehr" (MESSAGES 0)'
    assert (await client.lines('SUBSCRIBE "Entwürfe & Mehr"'))[-1].startswith("OK ")
    assert (await client.lines('LSUB "" "E*"'))[0] == '* LSUB () "." "Entwürfe & Mehr"'
    assert (await client.lines('COPY 1 "x"'))[-1].startswith("BAD ")
    assert (await client.lines('SELECT "Entwürfe & Mehr"'))[-1].startswith("OK ")
    assert (await client.lines('CREATE "&AOQ-"'))[-1].startswith("OK ")  # no shift here: a name like others
    other = await connect()
    assert '* LIST (\\HasNoChildren) "." "Entw&APw-rfe &- Mehr"' in await other.lines('LIST "" "E*"')
    assert (await other.lines('STATUS "&-AOQ-" (MESSAGES)'))[0] == "* STATUS &-AOQ- (MESSAGES 0)"


@pytest.mark.parametrize("name", [b"\xff", b"a\xc3", b"\xed\xa0\x80"])
async def test_what_is_no_utf8_is_refused(rev2: Any, name: bytes) -> None:
    assert b" NO Mailbox name is not valid UTF-8" in await rev2.command(b'CREATE "%b"' % name)
    assert await rev2.lines(b'LIST "" "%b*"' % name) == ["OK List completed."]


async def test_utf8_accept_has_no_charset(client: Any) -> None:
    """RFC 6855 section 3."""
    await client.command("ENABLE UTF8=ACCEPT")
    await client.command("SELECT INBOX")
    assert (await client.lines("SEARCH CHARSET UTF-8 ALL"))[-1].startswith("BAD ")
    assert (await client.lines('SEARCH SUBJECT "ü"')) == ["* SEARCH", "OK Search completed."]
    assert (await client.lines("FETCH 1 FLAGS"))[0] == "* 1 FETCH (FLAGS (\\Recent))"


async def test_append_of_utf8(client: Any) -> None:
    """RFC 6855 section 4: UTF8 (literal8), once it is enabled."""
    message = "Subject: ü\r\n\r\n".encode()
    command = b"APPEND INBOX (\\Seen) UTF8 (~{%d+}\r\n%b)" % (len(message), message)
    assert b" BAD " in await client.command(command)
    await client.command("ENABLE UTF8=ACCEPT")
    assert b" OK [APPENDUID " in await client.command(command)
    assert b" BAD " in await client.command(b"APPEND INBOX UTF8 ({%d+}\r\n%b)" % (len(message), message))
    await client.command("SELECT INBOX")
    assert message in await client.command("FETCH 3 BODY[HEADER]")
