"""kill -9 at any instant: what was acknowledged is there, the store opens, and no UID is used twice."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imap.store import StoreError
from imap.store.maildir import TMP_LIFETIME_SECONDS

from .conftest import MakeStore

# Works on one mailbox for ever and tells on stdout, line by line, what has been acknowledged.
WORKER = """
import random, sys, os
from imap.store import MailRoot, NamespaceInfo, NewMail, StoreError
from imap.store.location import parse
root, seed = sys.argv[1], int(sys.argv[2])
rng = random.Random(seed)
place = parse("maildir:~/Maildir", root, root + "/alice")
store = MailRoot.open(root).user("alice", [(NamespaceInfo("", ".", inbox=True), place)])
def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
number = 0
box = store.open("INBOX")
while True:
    number += 1
    what = rng.random()
    try:
        box.sync()
        if what < 0.35 or len(box.messages) < 3:
            mark = f"{seed}-{number}"
            tell("append?", mark)
            result = store.append("INBOX", [NewMail(f"Subject: {mark}\\r\\n\\r\\n".encode())])
            tell("append", mark, result.uids[0])
        elif what < 0.55:
            mark = f"{seed}-{number}"
            tell("deliver?", mark)
            store.deliver("INBOX", NewMail(f"Subject: {mark}\\r\\n\\r\\n".encode()))
            tell("deliver", mark)
        elif what < 0.75:
            uid = rng.choice(list(box.messages))
            if box.store([uid], "add", ["\\\\Flagged", "kw"]).changed:
                tell("flag", uid)
        elif what < 0.85:
            uid = rng.choice(list(box.messages))
            tell("expunge?", uid)
            box.store([uid], "add", ["\\\\Deleted"])
            tell("expunged", *box.expunge([uid]))
        else:
            uid = rng.choice(list(box.messages))
            result = box.copy([uid], "INBOX")
            if result.source:
                tell("copy", uid, result.destination[0])
    except StoreError as error:
        if error.code not in ("INUSE", "EXPUNGEISSUED"):
            raise
"""


class Ledger:
    """What the workers were told."""

    def __init__(self) -> None:
        self.uid_of: dict[int, str] = {}
        self.delivered: set[str] = set()
        self.gone: set[int] = set()
        self.maybe_gone: set[int] = set()
        self.flagged: set[int] = set()

    def read(self, lines: list[str]) -> None:
        for line in lines:
            match line.split():
                case ["append", mark, uid]:
                    self.used(int(uid), mark)
                case ["copy", uid, new]:
                    self.used(int(new), self.uid_of.get(int(uid), ""))
                case ["deliver", mark]:
                    self.delivered.add(mark)
                case ["flag", uid]:
                    self.flagged.add(int(uid))
                case ["expunge?", uid]:
                    self.maybe_gone.add(int(uid))
                case ["expunged", *uids]:
                    self.gone.update(map(int, uids))

    def used(self, uid: int, mark: str) -> None:
        assert uid not in self.uid_of, f"UID {uid} was given twice"
        self.uid_of[uid] = mark


def run(root: Path, seed: int, workers: int, seconds: float) -> list[str]:
    """Let workers run, kill them all at one random moment, return what they told (complete lines)."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(root), str(seed * 100 + number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what follows the first line stays in the pipe
        )
        for number in range(workers)
    ]
    # All of them are at work before the moment is drawn: a loaded machine starts them slowly.
    firsts = [process.stdout.readline().decode() for process in processes if process.stdout is not None]
    time.sleep(seconds)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    lines: list[str] = []
    for process, first in zip(processes, firsts, strict=True):
        out, err = process.communicate()
        lines.append(first.rstrip("\n"))
        assert process.returncode == -signal.SIGKILL, err.decode()
        lines += out.decode().rpartition("\n")[0].split("\n")
    return lines


@pytest.mark.slow
def test_kill_at_random_moments(tmp_path: Path, make_store: MakeStore) -> None:
    ledger = Ledger()
    rng = random.Random(7)
    uidvalidity = 0
    for round_ in range(8):
        lines = run(tmp_path, round_, workers=3, seconds=rng.random() * 0.6)
        # Copies name the source by UID: appends of the same round come first.
        ledger.read([line for line in lines if not line.startswith("copy")])
        ledger.read([line for line in lines if line.startswith("copy")])
        with make_store().open("INBOX") as box:
            assert uidvalidity in (0, box.uidvalidity)
            uidvalidity = box.uidvalidity
            subjects = {uid: box.read_header(uid).split()[1].decode() for uid in box.messages}
            for uid, mark in ledger.uid_of.items():
                if uid in ledger.gone:
                    assert uid not in subjects, "an expunged message came back"
                elif uid not in ledger.maybe_gone:
                    assert uid in subjects, "an acknowledged message is gone"
                if uid in subjects and mark:
                    assert subjects[uid] == mark, "a UID names another message than before"
            missing = ledger.delivered - set(subjects.values())
            assert len(missing) <= len(ledger.maybe_gone), "a delivered message is gone"
            for uid in ledger.flagged & set(subjects):
                assert "\\Flagged" in box.messages[uid].flags
                assert "kw" in box.messages[uid].flags
            ledger.uid_of |= {uid: mark for uid, mark in subjects.items() if uid not in ledger.uid_of}
    assert len(ledger.uid_of) >= 8 * 3


def test_two_processes_give_no_uid_twice(tmp_path: Path, make_store: MakeStore) -> None:
    ledger = Ledger()
    ledger.read([line for line in run(tmp_path, 1, workers=2, seconds=0.5) if line.startswith("append ")])
    assert len(ledger.uid_of) >= 2
    with make_store().open("INBOX") as box:
        assert box.uidnext > max(ledger.uid_of)


def test_killed_append_leaves_nothing_that_is_seen(
    make_store: MakeStore, tmp_path: Path, mail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between writing to tmp/ and publishing: the mail is not there, and the rest is swept away later."""
    store = make_store()
    store.create("INBOX")
    tmp = tmp_path / "alice" / "Maildir" / "tmp"
    (tmp / "1.M1P1.dead").write_bytes(mail)
    with store.open("INBOX") as mailbox:
        assert not mailbox.messages
    assert [path.name for path in tmp.iterdir()] == ["1.M1P1.dead"], "it may still be on its way"
    later = time.time() + TMP_LIFETIME_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    store.open("INBOX").close()
    assert not list(tmp.iterdir())


def test_store_errors_have_texts_for_the_client() -> None:
    assert str(StoreError(reason="/secret/path: EIO")) == StoreError.text
