"""An open mailbox: append, read, flags, copy, move, expunge, and what other sessions see of it."""

import os
import select
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imap.store import (
    Changes,
    Expunged,
    LimitExceeded,
    MailboxDeleted,
    NewMail,
    NonExistent,
    ReadOnly,
    UserStore,
    Watch,
)
from imap.store.maildir import TMP_LIFETIME_SECONDS

from .conftest import MakeStore


def flags_of(maildir: Path) -> list[str]:
    return sorted(path.name.partition(":2,")[2] for path in (maildir / "cur").iterdir())


def test_append_and_read(store: UserStore, mail: bytes, maildir: Path) -> None:
    result = store.append("INBOX", [NewMail(mail), NewMail(mail, ["\\Seen", "work"], 1_700_000_000)])
    assert result.uids == (1, 2)
    with store.open("inbox") as mailbox:
        assert mailbox.uidvalidity == result.uidvalidity
        assert mailbox.uidnext == 3
        assert mailbox.read(1) == mail
        assert mailbox.read_header(1) == mail.partition(b"First")[0]
        assert mailbox.messages[1].size == len(mail)
        assert mailbox.messages[2].flags == {"\\Seen", "work"}
        assert mailbox.messages[2].internal_date == 1_700_000_000
        assert mailbox.keywords == ("work",)
    assert flags_of(maildir) == ["", "Sa"]


def test_mail_lies_on_disk_with_lf_and_its_sizes_in_the_name(store: UserStore, mail: bytes, maildir: Path) -> None:
    store.deliver("INBOX", NewMail(mail))
    (path,) = (maildir / "new").iterdir()
    assert path.read_bytes() == mail.replace(b"\r\n", b"\n")
    assert path.name.endswith(f",S={path.stat().st_size},W={len(mail)}")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list((maildir / "tmp").iterdir())


def test_sizes_of_files_that_tell_none(store: UserStore, maildir: Path) -> None:
    store.create("INBOX")
    (maildir / "cur" / "1.M1P1.x:2,").write_bytes(b"Subject: x\n\nmixed\r\nends\n")
    with store.open("INBOX") as mailbox:
        assert mailbox.messages[1].size == len(mailbox.read(1)) == 27


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(pieces=st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"\xff", b": "]), min_size=1, max_size=20))
def test_size_is_what_is_read(store: UserStore, pieces: list[bytes]) -> None:
    (uid,) = store.append("INBOX", [NewMail(b"".join(pieces))]).uids
    with store.open("INBOX", read_only=True) as mailbox:
        text = mailbox.read(uid)
        assert mailbox.messages[uid].size == len(text)
        assert text.count(b"\n") == text.count(b"\r\n")
        assert text.startswith(mailbox.read_header(uid))


def test_flags_replace_add_remove(store: UserStore, mail: bytes, maildir: Path) -> None:
    store.append("INBOX", [NewMail(mail)])
    with store.open("INBOX") as mailbox:
        assert mailbox.store([1], "add", ["\\Flagged", "\\seen", "one", "ONE"]).changed == (1,)
        assert mailbox.messages[1].flags == {"\\Flagged", "\\Seen", "one"}
        assert flags_of(maildir) == ["FSa"]
        assert mailbox.store([1], "add", ["\\Seen"]).changed == ()
        mailbox.store([1], "remove", ["\\Seen", "One"])
        assert mailbox.messages[1].flags == {"\\Flagged"}
        mailbox.store([1], "replace", ["\\Draft", "\\Recent", "two"])
        assert mailbox.messages[1].flags == {"\\Draft", "two"}
        assert flags_of(maildir) == ["Db"]
        assert mailbox.store([7], "add", ["\\Seen"]).missing == (7,)


def test_keywords_beyond_26_are_kept(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail)])
    names = [f"kw{number}" for number in range(40)]
    with store.open("INBOX") as mailbox, make_store().open("INBOX") as other:
        mailbox.store([1], "add", names)
        other.sync()
        assert other.messages[1].flags == set(names)
        other.store([1], "add", ["\\Seen"])
        mailbox.sync()
        assert mailbox.messages[1].flags == {*names, "\\Seen"}
        with pytest.raises(LimitExceeded):
            mailbox.store([1], "add", [f"more{number}" for number in range(1000)])


def test_unchanged_since(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail), NewMail(mail)])
    with store.open("INBOX") as mailbox:
        known = mailbox.highest_modseq
        mailbox.store([2], "add", ["\\Seen"])
        result = mailbox.store([1, 2], "add", ["\\Flagged"], unchanged_since=known)
        assert (result.changed, result.modified) == ((1,), (2,))
        assert mailbox.messages[1].modseq > mailbox.messages[2].modseq > known


def test_others_see_flags_expunges_and_new_mail(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail)] * 3)
    with store.open("INBOX") as one, make_store().open("INBOX") as two:
        assert [message.recent for message in one.messages.values()] == [True] * 3
        assert [message.recent for message in two.messages.values()] == [False] * 3
        one.store([2], "add", ["\\Deleted", "new"])
        assert one.sync() == Changes(), "own changes are not told again"
        assert two.sync() == Changes(flags=(2,), keywords=True)
        assert one.expunge() == (2,)
        store.append("INBOX", [NewMail(mail)])
        assert two.sync() == Changes(expunged=(2,), appended=(4,))
        assert one.sync() == Changes(appended=(4,))
        assert list(one.messages) == list(two.messages) == [1, 3, 4]
        assert two.messages[4].recent
        assert not one.messages[4].recent
        assert one.sync() == two.sync() == Changes()
        with pytest.raises(Expunged):
            two.read(2)
        assert two.vanished(1) == [2]


def test_expunge_only_among_given(store: UserStore, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail, ["\\Deleted"])] * 3)
    with store.open("INBOX") as mailbox:
        assert mailbox.expunge([2]) == (2,)
        assert mailbox.expunge() == (1, 3)
        store.append("INBOX", [NewMail(mail)])
        mailbox.sync()
        assert list(mailbox.messages) == [4], "a UID is never used twice"


def test_read_only(store: UserStore, mail: bytes, maildir: Path) -> None:
    store.deliver("INBOX", NewMail(mail, ["\\Deleted"]))
    with store.open("INBOX", read_only=True) as mailbox:
        assert mailbox.messages[1].recent
        for change in (
            lambda: mailbox.store([1], "add", ["\\Seen"]),
            mailbox.expunge,
            lambda: mailbox.move([1], "INBOX"),
        ):
            with pytest.raises(ReadOnly):
                change()
    assert len(list((maildir / "new").iterdir())) == 1, "EXAMINE leaves new mail new"
    with store.open("INBOX") as mailbox:
        assert mailbox.messages[1].recent
    assert len(list((maildir / "cur").iterdir())) == 1


def test_copy_keeps_flags_keywords_date_and_guid(store: UserStore, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail, ["\\Answered", "kw"], 1_600_000_000), NewMail(mail)])
    store.create("Archive")
    with store.open("INBOX") as inbox:
        result = inbox.copy([2, 1, 9], "Archive")
        assert (result.source, result.destination) == ((1, 2), (1, 2))
        with store.open("Archive") as archive:
            assert archive.uidvalidity == result.uidvalidity
            copy = archive.messages[1]
            assert (copy.flags, copy.internal_date, copy.size) == ({"\\Answered", "kw"}, 1_600_000_000, len(mail))
            assert copy.guid == inbox.messages[1].guid
            assert archive.read(1) == mail
        with pytest.raises(NonExistent):
            inbox.copy([1], "nosuch")


def test_copy_into_itself(store: UserStore, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail)])
    with store.open("INBOX") as mailbox:
        assert mailbox.copy([1], "INBOX").destination == (2,)
        assert mailbox.sync().appended == (2,)
        assert mailbox.move([1], "INBOX").destination == (3,)
        assert mailbox.sync().appended == (3,)
        assert list(mailbox.messages) == [2, 3]


def test_move(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail, ["\\Flagged"])] * 2)
    store.create("Trash")
    with store.open("INBOX") as inbox, make_store().open("INBOX") as other:
        assert inbox.move([1], "Trash").destination == (1,)
        assert list(inbox.messages) == [2]
        assert other.sync().expunged == (1,)
    assert store.status("Trash").messages == 1


def test_status(store: UserStore, mail: bytes) -> None:
    store.append("INBOX", [NewMail(mail), NewMail(mail, ["\\Seen"]), NewMail(mail, ["\\Deleted"])])
    status = store.status("INBOX", size=True)
    assert (status.messages, status.recent, status.unseen, status.deleted) == (3, 3, 2, 1)
    assert (status.uidnext, status.size) == (4, 3 * len(mail))


def test_cache(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail, ["\\Deleted"]), NewMail(mail)])
    with store.open("INBOX") as mailbox:
        mailbox.cache("envelope", {1: b"one", 2: b"two", 9: b"none"})
        assert mailbox.cached("envelope", [1, 2, 9]) == {1: b"one", 2: b"two"}
        assert mailbox.cached("envelope", range(1, 2000)) == {1: b"one", 2: b"two"}
        mailbox.expunge()
        assert mailbox.cached("envelope", [1, 2]) == {2: b"two"}
        assert mailbox.cached("other", [2]) == {}


def test_deleted_and_made_again_is_another_mailbox(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.create("box")
    store.append("box", [NewMail(mail)])
    with make_store().open("box") as mailbox:
        store.delete("box")
        store.create("box")
        with pytest.raises(MailboxDeleted):
            mailbox.sync()
        with pytest.raises(MailboxDeleted):
            mailbox.store([1], "add", ["\\Seen"])
    with store.open("box") as again:
        assert again.uidvalidity != mailbox.uidvalidity
        assert not again.messages


def test_renamed_under_an_open_session(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.create("box")
    store.append("box", [NewMail(mail)])
    with make_store().open("box") as mailbox:
        store.rename("box", "crate")
        assert mailbox.sync() == Changes()
        mailbox.store([1], "add", ["\\Seen"])
    with store.open("crate") as crate:
        assert crate.uidvalidity == mailbox.uidvalidity
        assert crate.messages[1].flags == {"\\Seen"}


def rings(watch: Watch) -> bool:
    """Whether the watch has news, within a time that is long for a machine."""
    return bool(select.select([watch], [], [], 5)[0]) and watch.drain()


def test_watch_tells_of_mail_and_flags(make_store: MakeStore, mail: bytes) -> None:
    store = make_store()
    store.append("INBOX", [NewMail(mail)])
    store.create("other")
    with store.open("INBOX") as mailbox, make_store().open("INBOX") as other:
        watch, second = mailbox.watch(), other.watch()
        assert watch.interval is None
        assert not watch.drain()
        store.deliver("INBOX", NewMail(mail))
        assert rings(watch)
        assert rings(second)
        other.sync()  # moves the mail from new/ to cur/
        assert rings(watch)
        second.close()
        other.store([1], "add", ["\\Seen"])
        assert rings(watch)
        watch.close()


def test_watch_tells_nothing_of_other_mailboxes(store: UserStore, mail: bytes) -> None:
    store.create("other")
    with store.open("INBOX") as mailbox, store.open("other") as other:
        watch, witness = mailbox.watch(), other.watch()
        store.deliver("other", NewMail(mail))
        assert rings(witness)
        assert not watch.drain()
        watch.close()
        witness.close()


def test_many_watches_need_one_inotify_instance(store: UserStore, mail: bytes) -> None:
    store.create("INBOX")
    with store.open("INBOX") as mailbox:
        watches = [mailbox.watch() for _ in range(300)]
        assert all(watch.interval is None for watch in watches)
        store.deliver("INBOX", NewMail(mail))
        assert all(rings(watch) for watch in watches)
        for watch in watches:
            watch.close()


def test_a_mail_on_its_way_in_is_not_swept_for_its_date(
    store: UserStore, maildir: Path, mail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """APPEND gives a file its INTERNALDATE before its name; another session that opens the mailbox must leave it."""
    store.append("INBOX", [NewMail(mail)])
    arriving = maildir / "tmp" / "arriving"
    arriving.write_bytes(mail)
    os.utime(arriving, (1, 1))
    with store.open("INBOX"):
        assert arriving.exists()
    later = time.time() + TMP_LIFETIME_SECONDS + 9
    monkeypatch.setattr(time, "time", lambda: later)
    with store.open("INBOX"):
        assert not arriving.exists(), "what nobody touched for days is left over from a crash"
