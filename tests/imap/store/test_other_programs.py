"""What other programs do to the maildir is noticed; damage to index and control files is mended."""

import contextlib
import os
import sqlite3
import time
from pathlib import Path

import pytest

from imap.store import Changes, InUse, MailboxDeleted, NewMail, StoreError, UserStore
from imap.store.dotlock import dotlock
from imap.store.jail import Directory
from imap.store.maildir import SETTLE_NS

from .conftest import MakeStore


def settle() -> None:
    """Until directory time stamps tell every further change."""
    time.sleep(2 * SETTLE_NS / 1e9)


def test_mail_put_there_by_hand(store: UserStore, maildir: Path) -> None:
    store.create("INBOX")
    with store.open("INBOX") as mailbox:
        (maildir / "new" / "2.M1P1.x").write_bytes(b"Subject: second\n\n")
        (maildir / "cur" / "1.M1P1.x:2,FS").write_bytes(b"Subject: first\n\n")
        assert mailbox.sync().appended == (1, 2)
        assert mailbox.messages[1].flags == {"\\Flagged", "\\Seen"}
        assert mailbox.read(2) == b"Subject: second\r\n\r\n"
        assert not list((maildir / "new").iterdir())


def test_rename_and_removal_by_hand(store: UserStore, maildir: Path, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail)] * 2)
    with store.open("INBOX") as mailbox:
        first, second = sorted((maildir / "cur").iterdir())
        first.rename(str(first) + "RT")
        second.unlink()
        assert mailbox.sync() == Changes(expunged=(2,), flags=(1,))
        assert mailbox.messages[1].flags == {"\\Answered", "\\Deleted"}


def test_a_mail_renamed_between_look_and_read_is_still_found(store: UserStore, maildir: Path, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail)])
    with store.open("INBOX") as mailbox:
        (path,) = (maildir / "cur").iterdir()
        path.rename(str(path) + "S")
        assert mailbox.read(1) == mail


def test_a_keyword_that_no_file_name_shows_is_told(make_store: MakeStore, mail: bytes) -> None:
    """Sessions look at time stamps alone, and the 27th keyword has no letter."""
    store = make_store()
    names = [f"kw{number}" for number in range(30)]
    store.append("INBOX", [NewMail(mail, names[:27]), NewMail(mail, names[27:])])
    with store.open("INBOX") as one, make_store().open("INBOX") as two:
        settle()
        one.sync(), two.sync()
        assert two.sync() == Changes()
        one.store([1], "add", names[27:])
        assert two.sync() == Changes(flags=(1,))


def test_change_within_the_same_tick_is_not_missed(store: UserStore, maildir: Path) -> None:
    store.create("INBOX")
    with store.open("INBOX") as mailbox:
        seen = 0
        for number in range(50):
            (maildir / "cur" / f"{number}.M1P1.x:2,").write_bytes(b"x: y\n\n")
            # The worst case: the directory keeps its time stamp.
            seen += len(mailbox.sync().appended)
        settle()
        seen += len(mailbox.sync().appended)
        assert seen == 50


def test_unchanged_directories_are_not_listed_again(
    store: UserStore, mail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("INBOX", [NewMail(mail)])
    with store.open("INBOX") as mailbox:
        settle()
        mailbox.sync()
        listed: list[str] = []
        monkeypatch.setattr(Directory, "names", lambda self: listed.append(self.path) or [])
        mailbox.sync()
        assert listed == []


def test_the_same_base_name_twice(store: UserStore, maildir: Path) -> None:
    store.create("INBOX")
    (maildir / "cur" / "1.M1P1.x:2,").write_bytes(b"a: b\n\n")
    os.link(maildir / "cur" / "1.M1P1.x:2,", maildir / "cur" / "1.M1P1.x:2,S")
    (maildir / "new" / "1.M1P1.x").write_bytes(b"another: mail\n\n")
    with store.open("INBOX") as mailbox:
        assert sorted(mailbox.read(uid) for uid in mailbox.messages) == [b"a: b\r\n\r\n", b"another: mail\r\n\r\n"]
        settle()
        assert mailbox.sync() == Changes()


def test_uids_given_by_another_program_are_kept(store: UserStore, maildir: Path, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail)])
    with store.open("INBOX") as mailbox:
        (maildir / "cur" / "9.M1P1.x:2,").write_bytes(b"a: b\n\n")
        with (maildir / "dovecot-uidlist").open("ab") as file:
            file.write(b"17 :9.M1P1.x\n")
        assert mailbox.sync().appended == (17,)
        assert mailbox.uidnext == 18


def test_a_uidlist_exchanged_for_another_makes_another_mailbox(
    make_store: MakeStore, maildir: Path, mail: bytes
) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail)])
    with store.open("INBOX") as mailbox:
        (path,) = (maildir / "cur").iterdir()
        base = path.name.partition(":")[0]
        (maildir / "dovecot-uidlist").write_text(f"3 V12345 N50 G{'0' * 32}\n44 :{base}\n")
        with pytest.raises(MailboxDeleted):
            mailbox.sync()
    with store.open("INBOX") as again:
        assert (again.uidvalidity, list(again.messages), again.uidnext) == (12345, [44], 50)


def test_lost_uidlist_is_written_again(store: UserStore, maildir: Path, mail: bytes) -> None:
    uidvalidity = store.append("INBOX", [NewMail(mail)] * 2).uidvalidity
    before = (maildir / "dovecot-uidlist").read_text().split("\n")[1:]
    (maildir / "dovecot-uidlist").unlink()
    with store.open("INBOX") as mailbox:
        assert (mailbox.uidvalidity, list(mailbox.messages)) == (uidvalidity, [1, 2])
    after = (maildir / "dovecot-uidlist").read_text().split("\n")[1:]
    assert after == before


def test_line_cut_off_in_the_uidlist(store: UserStore, maildir: Path, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail)] * 2)
    uidlist = maildir / "dovecot-uidlist"
    uidlist.write_bytes(uidlist.read_bytes() + b"3 :17.M1")
    assert store.append("INBOX", [NewMail(mail)]).uids == (3,)
    assert uidlist.read_text().count("\n") == 4


def _index(maildir: Path) -> Path:
    return maildir / "hardmail.index"


@pytest.mark.parametrize("damage", ["remove", "garbage", "truncate", "schema"])
def test_the_index_is_rebuilt(make_store: MakeStore, maildir: Path, mail: bytes, damage: str) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail, ["\\Seen", "kw"]), NewMail(mail, ["\\Deleted"]), NewMail(mail)])
    with store.open("INBOX") as mailbox:
        mailbox.expunge()
        modseq, uidvalidity = mailbox.highest_modseq, mailbox.uidvalidity
    store.close()
    for path in (_index(maildir), Path(f"{_index(maildir)}-wal"), Path(f"{_index(maildir)}-shm")):
        if damage == "remove":
            path.unlink(missing_ok=True)
        elif damage == "garbage" and path == _index(maildir):
            path.write_bytes(os.urandom(8192))
        elif damage == "truncate" and path == _index(maildir):
            os.truncate(path, 100)
    if damage == "schema":
        with sqlite3.connect(_index(maildir)) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    with make_store().open("INBOX") as mailbox:
        assert mailbox.uidvalidity == uidvalidity
        assert {uid: set(message.flags) for uid, message in mailbox.messages.items()} == {1: {"\\Seen", "kw"}, 3: set()}
        assert mailbox.uidnext == 4
        assert mailbox.highest_modseq > modseq, "mod-sequences that clients know must not come again"
        assert mailbox.vanished(modseq) is None


def test_an_index_removed_under_an_open_session(store: UserStore, maildir: Path, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail, ["\\Seen"])])
    with store.open("INBOX") as mailbox:
        for path in maildir.glob("hardmail.index*"):
            path.unlink()
        assert not mailbox.sync().appended
        store.append("INBOX", [NewMail(mail)])
        assert mailbox.sync().appended == (2,)
        assert mailbox.messages[1].flags == {"\\Seen"}


def test_an_index_damaged_under_an_open_session(make_store: MakeStore, maildir: Path, mail: bytes) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail, ["\\Seen"])] * 200)
    with store.open("INBOX") as mailbox:
        for path in maildir.glob("hardmail.index*"):
            path.write_bytes(os.urandom(path.stat().st_size))
        for _ in range(5):
            with contextlib.suppress(StoreError):
                mailbox.store(range(1, 200), "add", ["\\Flagged"])
            with contextlib.suppress(StoreError):
                store.append("INBOX", [NewMail(mail)])
    with make_store().open("INBOX") as again:
        assert all("\\Seen" in again.messages[uid].flags for uid in range(1, 201))


def test_a_maildir_removed_under_an_open_session(store: UserStore, maildir: Path, mail: bytes) -> None:
    store.create("box")
    store.append("box", [NewMail(mail)])
    with store.open("box") as mailbox:
        (maildir / ".box").rename(maildir / "..gone")
        for path in sorted((maildir / "..gone").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (maildir / "..gone").rmdir()
        with pytest.raises(MailboxDeleted):
            mailbox.sync()


def test_a_link_in_place_of_the_index_is_refused(make_store: MakeStore, maildir: Path, tmp_path: Path) -> None:
    maildir.mkdir(parents=True)
    (tmp_path / "elsewhere").touch()
    _index(maildir).symlink_to(tmp_path / "elsewhere")
    store = make_store()
    opened = []
    for _ in range(3):
        with pytest.raises(Exception, match="Invalid mailbox name"):
            store.open("INBOX")
        opened.append(len(list(Path("/proc/self/fd").iterdir())))
    assert len(set(opened)) == 1, "a mailbox that cannot be opened keeps no descriptor"
    assert (tmp_path / "elsewhere").stat().st_size == 0


def test_foreign_lock_is_waited_for_and_dead_one_taken_over(tmp_path: Path) -> None:
    with Directory.root(tmp_path) as directory:
        (tmp_path / "x.lock").write_text(f"{os.getpid()}:{os.uname().nodename}")
        with pytest.raises(InUse), dotlock(directory, "x", wait=0.05):
            pass
        (tmp_path / "x.lock").write_text(f"{_dead_process()}:{os.uname().nodename}")
        with dotlock(directory, "x", wait=0.05):
            assert (tmp_path / "x.lock").exists()
        assert not (tmp_path / "x.lock").exists()
        (tmp_path / "x.lock").write_text("1:another-host")
        os.utime(tmp_path / "x.lock", (1, 1))
        with dotlock(directory, "x", wait=0.05):
            pass


def _dead_process() -> int:
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    return process


def test_two_sessions_that_share_no_index_agree(make_store: MakeStore, mail: bytes) -> None:
    """INDEX=MEMORY: what stands in the maildir alone must be enough."""
    location = "maildir:~/Maildir:INDEX=MEMORY"
    one, two = make_store(location=location), make_store(location=location)
    one.append("INBOX", [NewMail(mail, ["\\Seen", "kw"])])
    with one.open("INBOX") as first, two.open("INBOX") as second:
        assert first.uidvalidity == second.uidvalidity
        for number in range(2, 12):
            (uid,) = (one if number % 2 else two).append("INBOX", [NewMail(mail)]).uids
            assert uid == number
            first.sync()
            second.sync()
            assert list(first.messages) == list(second.messages) == list(range(1, number + 1))
        first.store([3], "add", ["\\Deleted", "later"])
        settle()
        second.sync()
        assert second.messages[3].flags == {"\\Deleted", "later"}
        assert second.expunge() == (3,)
        settle()
        assert first.sync().expunged == (3,)
