"""Names and directories: what cannot be a mailbox name, with Dovecot's words, and that no name leads anywhere else."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.store import InvalidName, NonExistent
from imap.store.layout import ROOT, Layout, check_new, from_disk, split, to_disk
from imap.store.location import Location

PLUS = Layout(Location("u/Maildir", "maildir++", "u/Maildir", "u/Maildir", "u/Maildir"))
FS = Layout(Location("u/mail", "fs", "u/mail", "u/control", "u/index"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "Invalid mailbox name: Name is empty"),
        ("a/b", "Invalid mailbox name: Name must not have '/' characters"),
        ("/etc/passwd", "Invalid mailbox name: Name must not have '/' characters"),
        ("~root/x", "Invalid mailbox name: Name must not have '/' characters"),
        ("~", "Invalid mailbox name: Begins with '~'"),
        ("..", "Invalid mailbox name: Begins with hierarchy separator"),
        ("../x", "Invalid mailbox name: Begins with hierarchy separator"),
        (".hidden", "Invalid mailbox name: Begins with hierarchy separator"),
        ("a..b", "Invalid mailbox name: Has adjacent hierarchy separators"),
        ("a.", "Invalid mailbox name: Ends with hierarchy separator"),
    ],
)
def test_maildir_refuses(name: str, text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        split(name, ".", ".")
    assert (caught.value.code, caught.value.text) == ("CANNOT", text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("../x", "Invalid mailbox name: Contains '..' part"),
        ("a/../../x", "Invalid mailbox name: Contains '..' part"),
        ("./a", "Invalid mailbox name: Contains '.' part"),
        ("/etc", "Invalid mailbox name: Begins with hierarchy separator"),
        ("a//b", "Invalid mailbox name: Has adjacent hierarchy separators"),
        ("cur", "Invalid mailbox name: Contains reserved name"),
        ("a/new", "Invalid mailbox name: Contains reserved name"),
        ("~r/x", "Invalid mailbox name: Begins with '~'"),
    ],
)
def test_fs_refuses(name: str, text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        split(name, "/", "/")
    assert caught.value.text == text


def test_disk_separator_is_no_part_of_a_name() -> None:
    with pytest.raises(InvalidName, match=r"Character not allowed in mailbox name: '\.'"):
        split("a.b", "/", ".")


@pytest.mark.parametrize("name", ["a\x01b", "\x1f", "n" * 256, "x." * 3000 + "x"])
def test_new_names_have_further_rules(name: str) -> None:
    with pytest.raises(InvalidName):
        check_new(split(name, ".", "."))


def test_directories() -> None:
    assert PLUS.folder(ROOT).mail == "u/Maildir"
    assert PLUS.folder(("a", "ä")).mail == "u/Maildir/.a.&AOQ-"
    assert FS.folder(ROOT).mail == "u/mail"
    assert FS.folder(ROOT).control == "u/control/INBOX"
    assert FS.folder(("a", "b")).control == "u/control/a/b"


@given(st.text(max_size=60), st.sampled_from([(".", PLUS), ("/", FS)]))
def test_no_name_leads_out(name: str, how: tuple[str, Layout]) -> None:
    separator, layout = how
    try:
        parts = split(name, separator, separator)
        folder = layout.folder(parts)
    except (InvalidName, NonExistent):
        return
    for path in (folder.mail, folder.control):
        assert posixpath.normpath(path) == path
        assert path.startswith("u/")
        assert "\0" not in path
    # Two names never share a directory, and the directory tells the name.
    assert from_disk(to_disk(parts)) == parts
