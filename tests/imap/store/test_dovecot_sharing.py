"""ACLs and METADATA go from real Dovecot to hardmail and back."""

from __future__ import annotations

import imaplib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imap.store import MailRoot, NamespaceInfo, UserStore
from imap.store.access import AclSettings
from imap.store.acl import Entry, Identifier
from imap.store.location import parse

from .test_dovecot import World

pytestmark = [pytest.mark.interop, pytest.mark.needs("imap", "dovecot-imapd")]

PLUGINS = """
mail_plugins = acl
mail_attribute_dict = file:{base}/mail/%u/dovecot-attributes
protocol imap {{
  mail_plugins = acl imap_acl
  imap_metadata = yes
}}
plugin {{
  acl = vfile
  acl_anyone = allow
}}
"""


class SharingWorld(World):
    """As World, with the plugins."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, "maildir:~/Maildir")
        with (base / "dovecot.conf").open("a") as file:
            file.write(PLUGINS.format(base=base))

    @contextmanager
    def ours(self) -> Iterator[UserStore]:
        mail = str(self.base / "mail")
        root = MailRoot.open(mail)
        place = parse("maildir:~/Maildir", mail, mail + "/alice")
        names = [(NamespaceInfo("", ".", inbox=True), place)]
        with root.user("alice", names, attributes="alice/dovecot-attributes", acl=AclSettings(anyone=True)) as store:
            yield store
        root.close()


def ask(client: imaplib.IMAP4, command: str, *arguments: str, untagged: str) -> list[bytes]:
    """One command; what was told of it, literals joined."""
    status, told = client.xatom(command, *arguments)
    assert status == "OK", told
    _, lines = client.response(untagged)
    return [b"".join(line) if isinstance(line, tuple) else line for line in lines if line is not None]


@pytest.fixture
def world() -> Iterator[SharingWorld]:
    # Names of unix sockets are short, so the directory must be, too.
    base = Path(tempfile.mkdtemp(prefix="hm-", dir="/tmp"))
    base.chmod(0o755)
    yield SharingWorld(base)
    shutil.rmtree(base)


def test_to_dovecot_and_back(world: SharingWorld) -> None:
    with world.dovecot() as client:
        client.create("Work")
        for whom, rights in (("bob", "lrs"), ('"user with space"', "lr"), ("$staff", "lrwstipekxa"), ("-carol", "w")):
            status, told = client.setacl("Work", whom, rights)
            assert status == "OK", told
        ask(client, "SETMETADATA", "Work", '(/private/comment "a\tb" /shared/x "z")', untagged="METADATA")
    with world.ours() as store:
        entries, is_mine = store.acl("Work")
        assert is_mine
        assert entries == [
            Entry(Identifier("group", "staff"), frozenset("lrwstipekxa")),
            Entry(Identifier("user", "bob"), frozenset("lrs")),
            Entry(Identifier("user", "carol"), None, frozenset("w")),
            Entry(Identifier("user", "user with space"), frozenset("lr")),
        ]
        assert store.attributes("Work") == {"/private/comment": b"a\tb", "/shared/x": b"z"}
        store.set_acl("Work", Identifier("user", "bob"), "add", frozenset("kx"), negative=False)
        store.set_acl("Work", Identifier("anyone"), "replace", frozenset("l"), negative=False)
        store.set_acl("Work", Identifier("group", "staff"), "replace", None, negative=False)
        store.create("Work.Sub")
        store.set_attributes("Work", {"/private/comment": b"two\r\nlines\x01", "/shared/x": None})
    with world.dovecot() as client:
        for name in ("Work", "Work.Sub"):
            told = ask(client, "GETACL", name, untagged="ACL")
            assert told == [name.encode() + b' anyone l bob kxlrsc -carol w "user with space" lr alice lrwstipekxacd']
        told = ask(client, "GETMETADATA", "Work", "(/private/comment /shared/x)", untagged="METADATA")
        assert told[0] == b"Work (/private/comment {11}two\r\nlines\x01"
        assert told[1] == b" /shared/x NIL)"
