"""METADATA (RFC 5464): what Dovecot 2.3.19 answers, and that it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auth.dovecotconf import DovecotConfig
from imap.config import MailSettings
from imap.imap4.commands.metadata import MAX_VALUE
from imap.imap4.settings import Settings

SETTINGS = Settings(metadata=True, server_comment="A comment", server_admin="mailto:admin@example.org")
INBOX_TRASH = (
    "namespace {{\n inbox = yes\n separator = /\n mailbox Trash {{\n special_use = \\Trash\n auto = create\n }}\n}}\n"
)
DICT = "mail_attribute_dict = file:%h/dovecot-attributes\n"
DONE = "OK Setmetadata completed."
TOLD = "OK Getmetadata completed."


@pytest.fixture
def dovecot_conf() -> str:
    return DICT + INBOX_TRASH


@pytest.fixture
async def client(connect: Any) -> Any:
    return await connect(settings=SETTINGS)


async def test_it_is_announced_where_there_is_a_place_for_it(connect: Any, client: Any) -> None:
    assert " METADATA " in (await client.lines("CAPABILITY"))[0]
    plain = await connect()
    assert "METADATA" not in (await plain.lines("CAPABILITY"))[0]
    assert await plain.lines("GETMETADATA INBOX /private/comment") == [
        "NO [CANNOT] Generic mailbox attributes not enabled."
    ]


DIALOGUE: list[tuple[str, list[str]]] = [
    ('SETMETADATA INBOX (/private/comment "hello")', [DONE]),
    ("GETMETADATA INBOX /private/comment", ["* METADATA INBOX (/private/comment {5}", "hello)", TOLD]),
    (
        "GETMETADATA inbox (/PRIVATE/Comment /shared/comment)",
        ["* METADATA INBOX (/private/comment {5}", "hello /shared/comment NIL)", TOLD],
    ),
    ('SETMETADATA INBOX (/shared/comment "shared c" /private/vendor/x/y "v")', [DONE]),
    ("GETMETADATA (DEPTH 1) INBOX (/private/vendor)", [TOLD]),
    ("GETMETADATA (DEPTH 1) INBOX (/private/vendor/x)", ["* METADATA INBOX (/private/vendor/x/y {1}", "v)", TOLD]),
    ("GETMETADATA (DEPTH infinity) INBOX /private/vendor", ["* METADATA INBOX (/private/vendor/x/y {1}", "v)", TOLD]),
    ("GETMETADATA (DEPTH 0) INBOX /private/vendor", ["* METADATA INBOX (/private/vendor NIL)", TOLD]),
    ("GETMETADATA (MAXSIZE 3) INBOX (/private/comment /shared/comment)", ["OK [METADATA LONGENTRIES 8] " + TOLD[3:]]),
    ("GETMETADATA (MAXSIZE 3 DEPTH 1) INBOX /private/comment", ["OK [METADATA LONGENTRIES 5] " + TOLD[3:]]),
    ("GETMETADATA () INBOX ()", [TOLD]),
    ("SETMETADATA INBOX ()", [DONE]),
    ('SETMETADATA INBOX (/private/comment NIL /private/a "" /private/b 12 "/private/c d" x)', [DONE]),
    (
        'GETMETADATA INBOX (/private/comment /private/a /private/b "/private/c d")',
        ["* METADATA INBOX (/private/comment NIL /private/a {0}", ' /private/b {2}', '12 "/private/c d" {1}', "x)", TOLD],
    ),
    ("GETMETADATA Trash /private/specialuse", ["* METADATA Trash (/private/specialuse {6}", "\\Trash)", TOLD]),
    ("GETMETADATA (DEPTH infinity) Trash /private", ["* METADATA Trash (/private/specialuse {6}", "\\Trash)", TOLD]),
    ("GETMETADATA INBOX /private/specialuse", ["* METADATA INBOX (/private/specialuse NIL)", TOLD]),
    (
        'SETMETADATA INBOX (/private/good x /private/specialuse "\\\\Sent")',
        ["NO [CANNOT] The /private/specialuse attribute cannot be changed."],
    ),
    ("GETMETADATA INBOX /private/good", ["* METADATA INBOX (/private/good NIL)", TOLD]),
    (
        "SETMETADATA INBOX (/private/vendor/vendor.dovecot/pvt/x y)",
        ["NO [CANNOT] Internal mailbox attributes cannot be accessed."],
    ),
    ('GETMETADATA "" /shared/comment', ['* METADATA "" (/shared/comment {9}', "A comment)", TOLD]),
    ('SETMETADATA "" (/private/comment srv /shared/vendor/x y)', [DONE]),
    (
        'GETMETADATA "" (/private/comment /shared/admin)',
        ['* METADATA "" (/private/comment {3}', "srv /shared/admin {24}", "mailto:admin@example.org)", TOLD],
    ),
    (
        'SETMETADATA "" (/shared/comment x)',
        ["NO [CANNOT] The /shared/vendor/vendor.dovecot/pvt/server/comment attribute cannot be changed."],
    ),
    (
        "GETMETADATA INBOX /private/vendor/vendor.dovecot/pvt/server/comment",
        ["* METADATA INBOX (/private/vendor/vendor.dovecot/pvt/server/comment NIL)", TOLD],
    ),
    ("GETMETADATA nosuch /private/comment", ["NO Mailbox doesn't exist: nosuch."]),
    ("SETMETADATA nosuch (/private/comment x)", ["NO Mailbox doesn't exist: nosuch."]),
]  # fmt: skip


async def test_as_dovecot_answers(client: Any) -> None:
    for command, answer in DIALOGUE:
        assert await client.lines(command) == answer, command


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("GETMETADATA", "Invalid arguments"),
        ("GETMETADATA INBOX", "Invalid arguments"),
        ("GETMETADATA INBOX /private/a (MAXSIZE 3)", "Invalid arguments"),
        ("GETMETADATA INBOX (MAXSIZE 3) /private/a", "Entry name must begin with '/'"),
        ("GETMETADATA (FOO 1) INBOX /private/a", "Unknown option"),
        ("GETMETADATA (DEPTH 2) INBOX /private/a", "Invalid value for DEPTH option"),
        ("GETMETADATA (DEPTH) INBOX /private/a", "Invalid value for DEPTH option"),
        ("GETMETADATA (MAXSIZE x) INBOX /private/a", "Invalid value for MAXSIZE option"),
        ("GETMETADATA INBOX ((/private/a))", "Entry isn't astring"),
        ("GETMETADATA INBOX /foo/bar", "Entry name must begin with /private or /shared"),
        ("GETMETADATA INBOX /privatex", "Entry name must begin with /private or /shared"),
        ("SETMETADATA INBOX", "Invalid arguments"),
        ('SETMETADATA INBOX /private/a "x"', "Invalid arguments"),
        ("SETMETADATA INBOX (/private/a)", "Entry value missing"),
        ("SETMETADATA INBOX (/private/a (x))", "Entry value can't be a list"),
        ("SETMETADATA INBOX (private/a x)", "Entry name must begin with '/'"),
        ("SETMETADATA INBOX (/private/ x)", "Entry name can't end with '/'"),
        ("SETMETADATA INBOX (/private//a x)", "Entry name can't contain consecutive '/'"),
        ("SETMETADATA INBOX (/private/a* x)", "Entry name can't contain '*'"),
        ("SETMETADATA INBOX (/private/a% x)", "Entry name can't contain '%'"),
        ('SETMETADATA INBOX ("/private/é" x)', "Entry name can't contain control chars"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_set(client: Any, command: str, complaint: str) -> None:
    assert await client.lines(command) == [f"BAD Error in IMAP command {command.split()[0]}: {complaint}."]
    assert await client.lines("GETMETADATA (DEPTH infinity) INBOX (/private /shared)") == [TOLD]


async def test_dovecots_file(client: Any, mail: Any) -> None:
    """Two lines an entry, escaped; it is written anew and whole, and read as Dovecot writes it."""
    file = Path(mail.root) / "alice" / "dovecot-attributes"
    await client.command("CREATE other")
    await client.command(b"SETMETADATA other (/private/comment {5+}\r\na\tb\r\n /shared/v ~{2+}\r\n\x00\xff)")
    guid = (await client.lines("STATUS other (X-GUID)"))[0].split()[-1].rstrip(")")
    assert file.read_bytes() == b"priv/%b/comment\na\x01tb\x01r\x01n\nshared/%b/v\n\x010\xff\n" % (
        guid.encode(), guid.encode(),
    )  # fmt: skip
    await client.command("RENAME other another")
    assert b"/private/comment {5}\r\na\tb\r\n)" in await client.command("GETMETADATA another /private/comment")
    await client.command("DELETE another")
    assert file.read_bytes() == b""


async def test_limits(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await client.send(b"a SETMETADATA INBOX (/private/a {%d}\r\n" % (MAX_VALUE + 1))
    assert answer.startswith(b"a NO [METADATA MAXSIZE 1048576] Value is too big")
    monkeypatch.setattr("imap.store.dictfile.MAX_FILE", 100)
    assert await client.lines("SETMETADATA INBOX (/private/a %s)" % ("x" * 100)) == [
        "NO [METADATA TOOMANY] Limit exceeded."
    ]


class TestWithoutADict:
    @pytest.fixture
    def dovecot_conf(self) -> str:
        return INBOX_TRASH

    async def test_only_what_is_configured_is_told(self, client: Any) -> None:
        assert "METADATA" not in (await client.lines("CAPABILITY"))[0]
        assert await client.lines('GETMETADATA "" (/private/comment /shared/comment)') == [
            '* METADATA "" (/shared/comment {9}',
            "A comment)",
            "NO [CANNOT] Mailbox attributes not enabled.",
        ]
        assert (await client.lines("GETMETADATA Trash /private/specialuse"))[-1] == TOLD
        assert await client.lines("SETMETADATA INBOX (/private/a NIL)") == [
            "NO [CANNOT] Mailbox attributes not enabled."
        ]


def test_only_a_file_serves_as_dict(tmp_path: Path) -> None:
    file = tmp_path / "dovecot.conf"
    file.write_text(f"mail_location = maildir:{tmp_path}/%u\nmail_attribute_dict = redis:host=::1\n")
    with pytest.raises(ValueError, match="only file:PATH is served"):
        MailSettings.from_config(DovecotConfig.load(file))
