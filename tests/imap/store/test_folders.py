"""Mailbox names of a user: listing, making, renaming, deleting, subscribing; both layouts, escapes refused."""

from pathlib import Path

import pytest

from imap.store import (
    AlreadyExists,
    InvalidName,
    JailEscape,
    MailboxInfo,
    MailRoot,
    NamespaceInfo,
    NewMail,
    NonExistent,
    NotPossible,
    SpecialMailbox,
    StoreError,
    UserStore,
)
from imap.store.location import parse

from .conftest import MakeStore

FS = "maildir:~/mail:LAYOUT=fs:CONTROL=~/control:INDEX=~/index"


def names(store: UserStore) -> list[tuple[str, bool, bool]]:
    return [(info.name, info.selectable, info.has_children) for info in store.list_mailboxes()]


def test_a_new_user_has_an_inbox_that_takes_no_room_yet(store: UserStore, tmp_path: Path) -> None:
    assert names(store) == [("INBOX", True, False)]
    assert not (tmp_path / "alice" / "Maildir" / "cur").exists()


def test_parents_are_listed(store: UserStore, maildir: Path) -> None:
    store.create("a.b.c")
    assert names(store) == [("INBOX", True, False), ("a", False, True), ("a.b", False, True), ("a.b.c", True, False)]
    assert (maildir / ".a.b.c" / "maildirfolder").exists()
    with pytest.raises(NonExistent):
        store.open("a")
    store.create("a")
    assert ("a", True, True) in names(store)


def test_create(store: UserStore) -> None:
    store.create("INBOX")
    store.create("inbox.child")
    store.create("dir.")
    store.create("two words")
    assert [name for name, _, _ in names(store)] == ["INBOX", "INBOX.child", "dir", "two words"]
    for taken in ("INBOX", "iNbox", "dir", "dir."):
        with pytest.raises(AlreadyExists):
            store.create(taken)
    with pytest.raises(InvalidName):
        store.create("a\x07")


@pytest.mark.parametrize("location", ["maildir:~/Maildir", FS])
def test_delete(make_store: MakeStore, location: str, mail: bytes, tmp_path: Path) -> None:
    store = make_store(location=location)
    dot = store.separator
    for name in ("a", f"a{dot}b"):
        store.create(name)
        store.append(name, [NewMail(mail)])
    store.delete("a")
    assert names(store) == [("INBOX", True, False), ("a", False, True), (f"a{dot}b", True, False)]
    assert store.status(f"a{dot}b").messages == 1
    store.delete(f"a{dot}b")
    assert [name for name, selectable, _ in names(store) if selectable] == ["INBOX"]
    assert not [path for path in tmp_path.rglob("*") if "trash" in path.name]
    with pytest.raises(NonExistent):
        store.delete("a")
    for inbox in ("INBOX", "inbox"):
        with pytest.raises(StoreError, match="INBOX can't be deleted"):
            store.delete(inbox)
    with pytest.raises(NotPossible):
        store.delete("")


@pytest.mark.parametrize("location", ["maildir:~/Maildir", FS])
def test_rename_takes_the_children_and_the_mail_along(make_store: MakeStore, location: str, mail: bytes) -> None:
    store = make_store(location=location)
    dot = store.separator
    for name in ("a", f"a{dot}b", f"a{dot}b{dot}c", "other"):
        store.create(name)
    appended = store.append(f"a{dot}b", [NewMail(mail, ["\\Seen", "kw"])])
    store.rename("a", f"x{dot}y")
    assert [name for name, _, _ in names(store)] == [
        "INBOX", "other", "x", f"x{dot}y", f"x{dot}y{dot}b", f"x{dot}y{dot}b{dot}c",
    ]  # fmt: skip
    with store.open(f"x{dot}y{dot}b") as mailbox:
        assert mailbox.uidvalidity == appended.uidvalidity
        assert mailbox.messages[1].flags == {"\\Seen", "kw"}


def test_rename_refusals(store: UserStore) -> None:
    store.create("a")
    store.create("b")
    with pytest.raises(AlreadyExists):
        store.rename("a", "b")
    with pytest.raises(AlreadyExists):
        store.rename("a", "a")
    with pytest.raises(NonExistent):
        store.rename("nosuch", "c")
    with pytest.raises(StoreError, match="under its own child"):
        store.rename("a", "a.x")
    with pytest.raises(NotPossible, match="Renaming INBOX"):
        store.rename("INBOX", "c")
    with pytest.raises(AlreadyExists):
        store.rename("a", "INBOX")


def test_fs_layout_makes_directories_that_are_no_mailboxes(make_store: MakeStore) -> None:
    store = make_store(location=FS)
    store.create("dir/")
    assert names(store) == [("INBOX", True, False), ("dir", False, False)]


def test_subscriptions(store: UserStore, maildir: Path) -> None:
    store.create("ä.b")
    for name in ("INBOX", "ä.b", "ä.b"):
        store.subscribe(name)
    assert store.subscriptions() == ["INBOX", "ä.b"]
    assert (maildir / "subscriptions").read_bytes() == b"V\t2\n\nINBOX\n&AOQ-\tb\n"
    store.delete("ä.b")
    assert store.subscriptions() == ["INBOX", "ä.b"], "a subscription outlives its mailbox (RFC 3501 section 6.3.6)"
    store.unsubscribe("ä.b")
    store.unsubscribe("never")
    assert store.subscriptions() == ["INBOX"]
    for name in ("nosuch", "../x", "a/b"):
        with pytest.raises(NonExistent):
            store.subscribe(name)


def test_special_mailboxes_come_by_themselves(make_store: MakeStore, mail: bytes) -> None:
    store = make_store(
        mailboxes=(
            SpecialMailbox("Drafts", ("\\Drafts",)),
            SpecialMailbox("Sent", ("\\Sent",), "subscribe"),
            SpecialMailbox("Trash", ("\\Trash",), "create"),
        )
    )
    assert store.list_mailboxes()[1:] == [
        MailboxInfo("Sent", subscribed=True, special_use=("\\Sent",)),
        MailboxInfo("Trash", special_use=("\\Trash",)),
    ]
    assert store.append("Sent", [NewMail(mail)]).uids == (1,)
    with pytest.raises(NonExistent):
        store.open("Drafts")


ESCAPES = [
    "../escape", "../../escape", "a/../../escape", "/etc/passwd", "/var/escape", "~root/escape", "~", "~/x", "..", ".",
    "./x", "{server.example}/etc/passwd", "a/b", "//etc", "x\0y", "a.../..", ".../x", "\\..\\x", "a/./b", "/", "a//b",
    "/proc/self/root/etc", "INBOX/../../escape", "cur/../../../escape", "..%2fescape", "file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("location", ["maildir:~/Maildir", FS])
def test_no_name_escapes(make_store: MakeStore, location: str, name: str, tmp_path: Path, mail: bytes) -> None:
    store = make_store(location=location)
    store.create("INBOX")
    store.create("a")
    store.create("other")
    before = {path for path in tmp_path.rglob("*") if not path.name.startswith(("hardmail.index", "dovecot"))}
    with store.open("INBOX") as inbox:
        for command in (
            lambda: store.create(name),
            lambda: store.open(name).close(),
            lambda: store.status(name),
            lambda: store.rename("other", name),
            lambda: store.append(name, [NewMail(mail)]),
            lambda: store.deliver(name, NewMail(mail)),
            lambda: store.subscribe(name),
            lambda: store.unsubscribe(name),
            lambda: inbox.copy([], name),
            lambda: store.delete(name),
        ):
            try:
                command()
            except StoreError as error:
                assert error.code in ("CANNOT", "NONEXISTENT", "ALREADYEXISTS")
    root = "Maildir" if location == "maildir:~/Maildir" else "mail"
    for path in set(tmp_path.rglob("*")) - before:
        inside = path.relative_to(tmp_path / "alice")
        assert inside.parts[0] in (root, "control", "index")
    assert not list(tmp_path.parent.glob("escape*"))


def test_links_that_leave_are_not_followed(make_store: MakeStore, tmp_path: Path, mail: bytes) -> None:
    bob = make_store("bob")
    bob.append("INBOX", [NewMail(mail)])
    store = make_store()
    store.create("INBOX")
    maildir = tmp_path / "alice" / "Maildir"
    (maildir / ".bob").symlink_to(tmp_path / "bob" / "Maildir")
    (maildir / ".etc").symlink_to("/etc")
    assert [name for name, _, _ in names(store)] == ["INBOX"]
    for name in ("bob", "etc"):
        with pytest.raises(JailEscape):
            store.open(name)
        with pytest.raises(StoreError):
            store.create(name)
    (maildir / "cur" / "1.M1P1.x:2,").symlink_to("/etc/passwd")
    with store.open("INBOX") as mailbox, pytest.raises(StoreError):
        mailbox.read(1)


def test_a_home_that_is_a_link_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "carol").symlink_to(tmp_path / "outside")
    store = make_store("carol")
    with pytest.raises(JailEscape):
        store.create("INBOX")
    assert not list((tmp_path / "outside").iterdir())


def test_full_filesystem_access_opens_any_maildir_below_the_root(
    make_store: MakeStore, tmp_path: Path, mail: bytes
) -> None:
    make_store("bob").append("INBOX", [NewMail(mail)])
    store = make_store(anywhere=str(tmp_path))
    with store.open(f"{tmp_path}/bob/Maildir") as mailbox:
        assert len(mailbox.messages) == 1
    for outside in ("/etc", f"{tmp_path}/../x", "/etc/passwd"):
        with pytest.raises(StoreError):
            store.open(outside)


def test_rename_into_another_namespace_keeps_uids_and_flags(tmp_path: Path, mail: bytes) -> None:
    root = MailRoot.open(tmp_path)
    places = [
        (NamespaceInfo("", "/", inbox=True), parse("maildir:~/Maildir", str(tmp_path), f"{tmp_path}/alice")),
        (NamespaceInfo("Old/", "/"), parse("maildir:~/Old:LAYOUT=fs", str(tmp_path), f"{tmp_path}/alice")),
        (NamespaceInfo("Hidden/", "/", listed="no"), parse("maildir:~/H", str(tmp_path), f"{tmp_path}/alice")),
    ]
    with root.user("alice", places) as store:
        store.create("box")
        store.create("box/below")
        appended = store.append("box", [NewMail(mail, ["\\Deleted"]), NewMail(mail, ["\\Seen", "kw"])])
        with store.open("box") as box:
            box.expunge()
        store.rename("box", "Old/crate")
        assert [info.name for info in store.list_mailboxes() if info.selectable] == [
            "INBOX", "Old/crate", "Old/crate/below",
        ]  # fmt: skip
        with store.open("Old/crate") as crate:
            assert (crate.uidvalidity, crate.uidnext) == (appended.uidvalidity, 3)
            assert crate.messages[2].flags == {"\\Seen", "kw"}
        with pytest.raises(NonExistent):
            store.open("box")
        store.create("Hidden/x")
        store.subscribe("Hidden/x")
        assert "Hidden/x" not in [info.name for info in store.list_mailboxes()]
        assert store.subscriptions() == []
        assert "Hidden/x" in [info.name for info in store.list_mailboxes(["Hidden/%"])]
        assert store.subscriptions(["Hidden/*"]) == ["Hidden/x"]
        store.create("Old")
        assert store.append("Old", [NewMail(mail)]).uids == (1,)
        with pytest.raises(AlreadyExists):
            store.rename("Hidden/x", "Old")
        with pytest.raises(NotPossible):
            store.delete("Old")
        assert store.exists("Old/crate")
    root.close()
