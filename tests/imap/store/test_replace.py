"""REPLACE in one step: killed between any two system calls, a reader finds the old mail or the new one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imap.store import Expunged, NewMail, NonExistent, UserStore
from imap.store.replacing import NAME

from .conftest import MAIL, MakeStore

# Makes a store in argv[1], and for n = 1, 2 ... lets a child replace a mail and kills it at its n-th change of the disk,
# until one comes through. Tells each time, by the subjects, what is in the two mailboxes then.
DRIVER = """
import os, signal, sys
from imap.store import MailRoot, NamespaceInfo, NewMail
from imap.store.location import parse

root, destination = sys.argv[1], sys.argv[2]

def store():
    place = parse("maildir:~/Maildir", root, root + "/alice")
    return MailRoot.open(root).user("alice", [(NamespaceInfo("", ".", inbox=True), place)])

def subjects(name):
    with store() as user, user.open(name) as mailbox:
        mailbox.sync()
        return sorted(mailbox.read(uid)[9:12].decode() for uid in mailbox.messages)

def replace(point):
    left = [point]
    def deadly(function):
        def call(*arguments, **details):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **details)
        return call
    with store() as user, user.open("INBOX") as mailbox:
        mailbox.sync()
        (uid,) = [uid for uid in mailbox.messages if mailbox.read(uid).startswith(b"Subject: old")]
        for name in ("open", "write", "rename", "unlink", "fsync", "utime"):
            setattr(os, name, deadly(getattr(os, name)))
        mailbox.replace(uid, destination, NewMail(b"Subject: new\\r\\n\\r\\n", ["\\\\Seen"]))
    os._exit(0)

with store() as user:
    if destination != "INBOX":
        user.create(destination)
point = 0
while True:
    point += 1
    with store() as user:
        for name in {"INBOX", destination}:
            with user.open(name) as mailbox:
                mailbox.sync()
                mailbox.store(list(mailbox.messages), "add", ["\\\\Deleted"])
                mailbox.expunge()
        user.append("INBOX", [NewMail(b"Subject: old\\r\\n\\r\\n"), NewMail(b"Subject: two\\r\\n\\r\\n")])
    child = os.fork()
    if not child:
        replace(point)
    status = os.waitpid(child, 0)[1]
    inbox = subjects("INBOX")
    print(*inbox, "|", *(subjects(destination) if destination != "INBOX" else ()))
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
"""


@pytest.mark.parametrize("destination", ["INBOX", "Drafts"])
def test_killed_at_any_point_it_leaves_one_of_both(tmp_path: Path, destination: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), destination],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.splitlines()
    assert len(outcomes) > 10
    old, new = "old two |", "new two |" if destination == "INBOX" else "two | new"
    assert set(outcomes) == {old, new}
    assert outcomes[0] == old and outcomes[-1] == new
    assert not list(tmp_path.rglob(NAME))


def test_what_fails_leaves_the_old_one(store: UserStore, maildir: Path) -> None:
    store.append("INBOX", [NewMail(MAIL)])
    with store.open("INBOX") as mailbox:
        mailbox.sync()
        with pytest.raises(NonExistent):
            mailbox.replace(1, "nosuch", NewMail(MAIL))
        with pytest.raises(Expunged):
            mailbox.replace(7, "INBOX", NewMail(MAIL))
        assert list(mailbox.messages) == [1] and not (maildir / NAME).exists()
        result = mailbox.replace(1, "INBOX", NewMail(MAIL))
        mailbox.sync()
        assert list(mailbox.messages) == list(result.uids) == [2] and not (maildir / NAME).exists()


@pytest.mark.parametrize(
    "text", ["", "x", "a\n../../etc\nb", "a\n/etc\nb", "old\n\n", "a\nalice/Maildir\n", "\n\n\n\n", "\0\n\0\n\0"]
)
def test_a_note_that_makes_no_sense_is_dropped(make_store: MakeStore, maildir: Path, text: str) -> None:
    make_store().append("INBOX", [NewMail(MAIL)])
    (maildir / NAME).write_text(text)
    (maildir / "cur" / "other:2,").write_bytes(MAIL)
    with make_store().open("INBOX") as mailbox:
        mailbox.sync()
        assert len(mailbox.messages) == 2
    assert not (maildir / NAME).exists()
