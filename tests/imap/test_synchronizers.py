"""mbsync and offlineimap keep 500 mails the same on both sides: what either side changes, and nothing a second time."""

from __future__ import annotations

import asyncio
import email
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imap.imap4.service import sessions
from imap.imap4.settings import Settings
from imap.store import NewMail, UserStore
from tests.imap.corpus import COUNT, message, messages

pytestmark = pytest.mark.interop

FLAG_LETTERS = {"\\Seen": "S", "\\Flagged": "F", "\\Answered": "R", "\\Deleted": "T", "\\Draft": "D"}

MBSYNC = """\
FSync no

IMAPAccount server
Host 127.0.0.1
Port {port}
User alice
Pass testpass
SSLType None
AuthMechs LOGIN

IMAPStore far
Account server

MaildirStore near
Path {near}/
Inbox {near}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""

OFFLINEIMAP = """\
[general]
accounts = all
metadata = {home}/metadata
ui = Noninteractive.Quiet
fsync = False

[Account all]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {near}

[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = alice
remotepass = testpass
ssl = no
starttls = no
auth_mechanisms = LOGIN
"""

Folder = dict[str, tuple[str, int]]  # Message-ID -> flag letters and size


def identity(data: bytes) -> str:
    return str(email.message_from_bytes(data)["Message-ID"])


def size(data: bytes) -> int:
    """With LF line ends, and without the mark that mbsync puts on what it copies."""
    return len(re.sub(rb"(?m)^X-TUID: .*\n", b"", data.replace(b"\r\n", b"\n")))


def near_side(root: Path) -> dict[str, Folder]:
    """The local Maildirs."""
    folders: dict[str, Folder] = {}
    for directory in (path for path in root.iterdir() if (path / "cur").is_dir()):
        folders[directory.name] = {}
        for path in (*directory.glob("cur/*"), *directory.glob("new/*")):
            data = path.read_bytes()
            folders[directory.name][identity(data)] = "".join(sorted(path.name.partition(":2,")[2])), size(data)
    return folders


def far_side(store: UserStore) -> dict[str, Folder]:
    """What the server has."""
    folders: dict[str, Folder] = {}
    for info in store.list_mailboxes():
        with store.open(info.name) as mailbox:
            folders[info.name] = {
                identity(mailbox.read(uid)): (
                    "".join(sorted(FLAG_LETTERS[flag] for flag in each.flags)),
                    size(mailbox.read(uid)),
                )
                for uid, each in mailbox.messages.items()
            }
    return folders


PROGRAMS = {
    "mbsync": (MBSYNC, ["mbsync", "-a", "-V", "-c"]),
    "offlineimap": (OFFLINEIMAP, ["offlineimap", "-1", "-o", "-c"]),
}


async def synchronize(command: list[str], configuration: Path) -> None:
    def run() -> None:
        environment = {**os.environ, "HOME": str(configuration.parent), "LC_ALL": "C"}
        done = subprocess.run(
            [*command, configuration], capture_output=True, text=True, timeout=120, check=False, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr

    await asyncio.to_thread(run)


def change_near(root: Path) -> None:
    """A local mail program at work: flags, a move, a new mail, a removal."""
    inbox, archive = root / "INBOX", root / "Archive"
    for part in ("cur", "new", "tmp"):
        (archive / part).mkdir(parents=True, exist_ok=True)
    by_uid = sorted(inbox.glob("*/*,U=*"), key=lambda path: int(re.split(r",U=(\d+)", path.name)[1]))
    for number, path in enumerate(by_uid):
        base = path.name.partition(":")[0]
        if number < 100:
            path.rename(inbox / "cur" / f"{base}:2,FS")
        elif number < 150:
            path.rename(archive / "cur" / f"{base.partition(',U=')[0]}:2,S")
        elif number < 160:
            path.unlink()
    (inbox / "cur" / "1700000000.near:2,D").write_bytes(message(1001).replace(b"\r\n", b"\n"))


def change_far(store: UserStore) -> None:
    """The same on the server."""
    with store.open("INBOX") as mailbox:
        uids = sorted(mailbox.messages)
        mailbox.store(uids[200:260], "add", ["\\Answered"])
        mailbox.store(uids[260:270], "add", ["\\Deleted"])
        mailbox.expunge()
        mailbox.move(uids[270:300], "Sent")
    store.append("INBOX", [NewMail(message(1002), ["\\Flagged"], 1_700_000_000)])


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("mbsync", marks=pytest.mark.needs("mbsync", "isync")),
        pytest.param("offlineimap", marks=[pytest.mark.needs("offlineimap", "offlineimap3"), pytest.mark.slow]),
    ],
)
async def test_two_sides(program: str, mail: Any, serve: Any, tmp_path: Path) -> None:
    mail.deliver("alice", *messages())
    server = await serve("imap", lambda service: sessions(service, Settings()))
    store = mail.settings.user_store(mail.mail_root, "alice", {"home": str(mail.root / "alice")})
    store.create("Sent")
    near = tmp_path / "near"
    near.mkdir()
    configuration = tmp_path / "configuration"
    text, command = PROGRAMS[program]
    configuration.write_text(text.format(port=server.port, near=near, home=tmp_path))

    await synchronize(command, configuration)
    assert len(near_side(near)["INBOX"]) == COUNT
    assert near_side(near) == far_side(store)

    change_near(near)
    change_far(store)
    await synchronize(command, configuration)
    synced = near_side(near)
    assert synced == far_side(store)
    assert {name: len(folder) for name, folder in synced.items()} == {"INBOX": 402, "Archive": 50, "Sent": 30}
    flags = [flags for flags, _ in synced["INBOX"].values()]
    assert (flags.count("FS"), flags.count("R"), flags.count("D"), flags.count("F")) == (100, 60, 1, 1)

    await synchronize(command, configuration)
    assert near_side(near) == far_side(store) == synced, "a second time leaves no difference"
    store.close()
