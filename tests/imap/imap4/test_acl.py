"""ACL (RFC 4314): what Dovecot 2.3.19 answers, and that every command asks for its right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imap.imap4.settings import Settings

SETTINGS = Settings(acl=True, metadata=True)
GLOBAL = 'W* anyone lr\n"W X?" user=bob lrk\nW/* owner lra\n'
CONF = """
mail_plugins = acl
mail_home = {base}/mail/%u
mail_attribute_dict = file:{base}/mail/%u/dovecot-attributes
plugin {{
  acl = vfile:{base}/global-acl:cache_secs=30
  acl_anyone = allow
  acl_shared_dict = file:{base}/mail/shared-mailboxes
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Trash {{
    special_use = \\Trash
    auto = create
  }}
}}
namespace shared {{
  type = shared
  separator = /
  prefix = shared/%%u/
  location = maildir:{base}/mail/%%u/Maildir
  subscriptions = no
  list = children
}}
namespace public {{
  type = public
  separator = /
  prefix = Public/
  location = maildir:{base}/mail/public
  subscriptions = no
  list = children
}}
"""
HERE = Path(__file__).parent


@pytest.fixture
def dovecot_conf(tmp_path: Path) -> str:
    (tmp_path / "global-acl").write_text(GLOBAL)
    return CONF


@pytest.fixture
def public(mail: Any) -> Path:
    """The public namespace: everybody may look, bob may write in B, nobody knows of H."""
    directory = Path(mail.root) / "public"
    for name, acl in (("A", None), ("B", "user=bob lrwk\n"), ("B.C", None), ("H", "user=bob\n"), ("H.K", None)):
        for place in ("cur", "new", "tmp"):
            (directory / f".{name}" / place).mkdir(parents=True)
        if acl is not None:
            (directory / f".{name}" / "dovecot-acl").write_text(acl)
    (directory / "dovecot-acl").write_text("anyone lr\n")
    return directory


def dialogue(name: str) -> Iterator[tuple[str, str, list[str]]]:
    """Who says what, and what is answered."""
    user = command = ""
    answer: list[str] = []
    for line in [*(HERE / name).read_text().splitlines(), "C: "]:
        if line.startswith(("C: ", "@ ")) and command:
            yield user, command, answer
            command = ""
        if line.startswith("@ "):
            user = line[2:]
        elif line.startswith("C: "):
            command, answer = line[3:], []
        elif line.startswith("S: "):
            answer.append(line[3:])


def comparable(lines: list[str]) -> list[str]:
    """Lines whose order tells nothing in order, numbers that differ taken out."""
    text = [re.sub(r"\b(UIDVALIDITY|APPENDUID) \w+", r"\1 N", line).removesuffix(".") for line in lines]
    lists = sorted(line for line in text if re.match(r"\* L(IST|SUB) ", line))
    return lists + [re.sub(r"RECENT 0 UNSEEN 0", "UNSEEN 0 RECENT 0", line) for line in text if line not in lists]


async def test_as_dovecot_answers(connect: Any, public: Path) -> None:
    before, client = "", None
    for user, command, answer in dialogue("acl_dialogue.txt"):
        if user != before:
            before, client = user, await connect(user=user, settings=SETTINGS)
        assert client is not None
        lines = await client.lines(command.replace("\\r\\n", "\r\n"))
        assert comparable(lines) == comparable(answer), f"{user}: {command}"
    inbox = Path(public.parent) / "alice" / "Maildir"
    assert (inbox / ".Job" / "dovecot-acl").read_text() == (HERE / "acl_job.txt").read_text()
    shared = (public.parent / "shared-mailboxes").read_text().splitlines()
    assert "shared/shared-boxes/user/bob/alice" in shared and set(shared[1::2]) == {"1"}


def rights_table() -> Iterator[tuple[str, dict[str, str]]]:
    """Each command with the answers by rights."""
    for block in (HERE / "acl_rights.txt").read_text().split("\n\n")[1:]:
        command, *rows = block.strip("\n").split("\n")
        answers = {}
        for row in rows:
            sets, _, answer = row.strip().partition(": ")
            answers.update(dict.fromkeys(sets.split(), answer))
        yield command.replace("\\r\\n", "\r\n"), answers


@pytest.mark.parametrize("rights", list(next(rights_table())[1]))
async def test_every_command_asks_for_its_right(connect: Any, public: Path, rights: str) -> None:
    for number in range(4):
        file = public / ".A" / "cur" / f"100000000{number}.M{number}P1.h:2,"
        file.write_text("From: a@b\nSubject: s\n\nbody\n")
    (public / ".A" / "dovecot-acl").write_text(f"user=bob {rights.strip('-')}\n")
    client = await connect(user="bob", settings=SETTINGS)
    for command, answers in rights_table():
        if rights not in answers:
            continue
        command = re.sub(r"\bX\b", "Public/A", re.sub(r"\bY\b", "Public/Z", command))
        lines = await client.lines(command)
        got = " | ".join(lines) if command.endswith("FLAGS") or "FETCH 1 (FLAGS)" in command else lines[-1]
        got = re.sub(r"\d+ \+ .*", "", re.sub(r"(APPENDUID|COPYUID) \d+", r"\1 N", got.replace("Public/A", "X")))
        got = re.sub(r"(COPYUID N \S+ )\S+", r"\1N", got)
        assert got.removesuffix(".") == answers[rights].removesuffix("."), f"{rights}: {command}"


async def test_without_the_plugin_the_commands_are_unknown(connect: Any) -> None:
    client = await connect()
    for command in ("MYRIGHTS INBOX", "GETACL INBOX", "SETACL INBOX a l", "DELETEACL INBOX a", "LISTRIGHTS INBOX a"):
        assert (await client.lines(command))[-1].startswith("BAD ")
    assert "ACL" not in (await client.lines("CAPABILITY"))[0]
    client = await connect(settings=SETTINGS)
    assert " ACL RIGHTS=texk" in (await client.lines("CAPABILITY"))[0]


async def test_what_may_be_looked_up_only(connect: Any, public: Path) -> None:
    """As Dovecot: NOTIFY and LIST-STATUS name it and say that no more is told."""
    (public / ".A" / "dovecot-acl").write_text("user=bob l\n")
    client = await connect(user="bob", settings=SETTINGS)
    lines = await client.lines("NOTIFY SET STATUS (MAILBOXES (Public/A Public/B) (MessageNew MessageExpunge))")
    assert lines[0] == '* LIST (\\NoAccess) "/" Public/A' and lines[1].startswith("* STATUS Public/B ")
    lines = await client.lines('LIST "" Public/A RETURN (STATUS (MESSAGES))')
    assert lines == ['* LIST () "/" Public/A', "* NO [NOPERM] Permission denied", "OK List completed."]


async def test_metadata_of_a_shared_mailbox(connect: Any, public: Path) -> None:
    """As Dovecot keeps it: what is private with each user, what is shared with the owner."""
    alice = await connect(settings=SETTINGS)
    for command in ("CREATE Job", "SETACL Job bob lr", "SETMETADATA Job (/shared/comment ours /private/comment mine)"):
        assert (await alice.lines(command))[-1].startswith("OK ")
    bob = await connect(user="bob", settings=SETTINGS)
    assert await bob.lines("GETMETADATA shared/alice/Job (/shared/comment /private/comment)") == [
        "* METADATA shared/alice/Job (/shared/comment {4}",
        "ours /private/comment NIL)",
        "OK Getmetadata completed.",
    ]
    await bob.command("SETMETADATA shared/alice/Job (/private/comment his /shared/x y)")
    assert (await alice.lines("GETMETADATA Job (/private/comment /shared/x)"))[1:3] == ["mine /shared/x {1}", "y)"]
    kept = (public.parent / "bob" / "dovecot-attributes").read_text().splitlines()
    assert kept[1:] == ["his"] and kept[0].startswith("priv/")


async def test_a_spoilt_file_gives_nobody_anything(connect: Any, public: Path) -> None:
    (public / ".A" / "dovecot-acl").write_text("user=bob lrwstipekxa\nrubbish\n")
    client = await connect(user="bob", settings=SETTINGS)
    assert (await client.lines("SELECT Public/A"))[-1] == "NO Mailbox doesn't exist: Public/A."
    assert not any("Public/A" in line for line in await client.lines('LIST "" *'))


async def test_a_big_mail_is_refused_before_it_is_sent(connect: Any, public: Path) -> None:
    client = await connect(user="bob", settings=SETTINGS)
    answer = await client.send(b"a APPEND Public/B {1000000}\r\n")
    assert answer.startswith(b"a NO [NOPERM] Permission denied")


async def test_no_name_of_a_user_leads_out(connect: Any, public: Path) -> None:
    client = await connect(user="bob", settings=SETTINGS)
    for name in (
        "shared/../x",
        "shared/./x",
        "shared/%u/x",
        "shared//x",
        "shared/public",
        "shared/..",
        "shared/nobody",
    ):
        assert (await client.lines(f"SELECT {name}"))[-1].startswith("NO ")
