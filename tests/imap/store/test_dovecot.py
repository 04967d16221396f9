"""A mail root goes from real Dovecot to hardmail and back: UIDs, flags, keywords, dates and subscriptions stay."""

import imaplib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imap.store import MailRoot, NamespaceInfo, NewMail, UserStore, mutf7
from imap.store.location import parse

from .conftest import MAIL

pytestmark = [pytest.mark.interop, pytest.mark.needs("imap", "dovecot-imapd")]

CONFIG = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
listen = 127.0.0.1
protocols = imap
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
default_login_user = {login}
default_internal_user = {internal}
default_internal_group = {group}
mail_location = {location}
passdb {{
  driver = static
  args = password=pass
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/mail/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""

Seen = dict[str, dict[str, Any]]


class World:
    """A directory with one user's mail, looked at by Dovecot or by us."""

    def __init__(self, base: Path, location: str) -> None:
        self.base = base
        self.location = location
        self.root = os.geteuid() == 0
        self.uid, self.gid = (8, 8) if self.root else (os.geteuid(), os.getegid())
        for name in ("run", "state", "mail", "mail/alice"):
            (base / name).mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        me, mine = Path("/proc/self").owner(), Path("/proc/self").group()
        (base / "dovecot.conf").write_text(
            CONFIG.format(
                base=base,
                location=location,
                login="dovenull" if self.root else me,
                internal="dovecot" if self.root else me,
                group="dovecot" if self.root else mine,
                uid=self.uid,
                gid=self.gid,
                port=self.port,
            )
        )

    def give(self) -> None:
        """All mail to the user that Dovecot's processes run as."""
        if self.root:
            for path in (self.base / "mail", *(self.base / "mail").rglob("*")):
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    @contextmanager
    def dovecot(self) -> Iterator[imaplib.IMAP4]:
        """Real Dovecot, logged in."""
        self.give()
        process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(self.base / "dovecot.conf")])
        try:
            client = self._connect(process)
            client.login("alice", "pass")
            yield client
            client.logout()
        finally:
            process.terminate()
            process.wait(20)

    def _connect(self, process: subprocess.Popen[bytes]) -> imaplib.IMAP4:
        deadline = time.monotonic() + 20
        while True:
            try:
                return imaplib.IMAP4("127.0.0.1", self.port)
            except OSError:
                assert process.poll() is None, (self.base / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    @contextmanager
    def ours(self) -> Iterator[UserStore]:
        root = MailRoot.open(self.base / "mail")
        place = parse(self.location, str(self.base / "mail"), str(self.base / "mail" / "alice"))
        with root.user("alice", [(NamespaceInfo("", place.separator, inbox=True), place)]) as store:
            yield store
        root.close()


@pytest.fixture(params=["maildir:~/Maildir", "maildir:~/mail:LAYOUT=fs:CONTROL=~/control:INDEX=~/index"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    # Names of unix sockets are short, so the directory must be, too.
    base = Path(subprocess.check_output(["mktemp", "-d", "/tmp/hm-XXXXXX"], text=True).strip())
    base.chmod(0o755)
    yield World(base, request.param)
    shutil.rmtree(base)


def by_dovecot(client: imaplib.IMAP4) -> Seen:
    """What Dovecot tells of all mailboxes."""
    seen: Seen = {}
    for line in client.list()[1]:
        assert isinstance(line, bytes)
        if b"\\Noselect" in line:
            continue
        wire = line.rpartition(b' "')[0] and line.split(b'" ', 1)[1].strip(b'"')
        client.select(b'"' + wire + b'"', readonly=True)
        validity, following = (int(client.response(word)[1][0]) for word in ("UIDVALIDITY", "UIDNEXT"))
        mails = {}
        if client.response("EXISTS")[1] != [b"0"]:
            for part in client.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE X-GUID BODY.PEEK[])")[1]:
                if isinstance(part, tuple):
                    head = part[0].decode()
                    flags = set(re.search(r"FLAGS \(([^)]*)\)", head)[1].split()) - {"\\Recent"}  # type: ignore[index]
                    date = time.mktime(imaplib.Internaldate2tuple(part[0]))  # type: ignore[arg-type]
                    size, uid = (int(re.search(word + r" (\d+)", head)[1]) for word in ("SIZE", "UID"))  # type: ignore[index]
                    guid = re.search(r"X-GUID (\S+)", head)[1]  # type: ignore[index]
                    mails[uid] = (flags, int(date), size, guid, part[1])
        seen[mutf7.decode(wire)] = {"validity": validity, "next": following, "mails": mails}
    return seen


def by_us(store: UserStore) -> Seen:
    """The same by our store."""
    seen: Seen = {}
    for info in store.list_mailboxes():
        if info.selectable:
            with store.open(info.name, read_only=True) as box:
                mails = {
                    uid: (set(mail.flags), mail.internal_date, mail.size, mail.guid, box.read(uid))
                    for uid, mail in box.messages.items()
                }
                seen[info.name] = {"validity": box.uidvalidity, "next": box.uidnext, "mails": mails}
    return seen


def subscribed(client: imaplib.IMAP4) -> set[str]:
    lines = [line for line in client.lsub()[1] if isinstance(line, bytes)]
    return {mutf7.decode(line.split(b'" ', 1)[1].strip(b'"')) for line in lines}


def test_there_and_back(world: World) -> None:
    dot = "." if "fs" not in world.location else "/"
    box = mutf7.encode(f"Ärger{dot}2024").decode()
    with world.dovecot() as client:
        client.create(box)
        client.create("Plain")
        client.subscribe(box)
        client.subscribe("INBOX")
        for number in range(6):
            client.append("INBOX", "(\\Seen kwA)" if number % 2 else "", '"14-Nov-2023 10:00:00 +0000"', MAIL)
        client.select("INBOX")
        client.store("1:2", "+FLAGS", "(\\Flagged kwB $Label1)")
        client.store("6", "+FLAGS", "(\\Deleted)")
        client.expunge()
        client.copy("1:3", f'"{box}"')
        dovecots, subscriptions = by_dovecot(client), subscribed(client)
    assert len(dovecots["INBOX"]["mails"]) == 5

    with world.ours() as store:
        assert by_us(store) == dovecots
        assert set(store.subscriptions()) == subscriptions
        assert store.append("INBOX", [NewMail(MAIL, ["\\Draft", "kwC", "kwa"], 1_600_000_000)]).uids == (7,)
        store.deliver("Plain", NewMail(MAIL))
        with store.open("INBOX") as inbox:
            inbox.store([1], "remove", ["\\Flagged", "kwB"])
            inbox.store([3], "add", ["\\Answered", "kwC"])
            inbox.store([2], "add", ["\\Deleted"])
            inbox.expunge()
            inbox.copy([3, 7], "Plain")
            inbox.move([5], f"Ärger{dot}2024")
        store.rename("Plain", f"Ärger{dot}Plain")
        store.create("Neu")
        store.subscribe("Neu")
        store.unsubscribe("INBOX")
        ours = by_us(store)
        subscriptions = set(store.subscriptions())

    with world.dovecot() as client:
        assert by_dovecot(client) == ours
        assert subscribed(client) == subscriptions
        client.append("INBOX", "(kwD)", "", MAIL)
        client.select("INBOX")
        client.uid("STORE", "3", "-FLAGS", "(kwC)")
        client.uid("STORE", "7", "+FLAGS", "(\\Deleted)")
        client.expunge()
        dovecots = by_dovecot(client)
    assert dovecots["INBOX"]["next"] == 9

    with world.ours() as store:
        assert by_us(store) == dovecots


def test_both_at_the_same_time(world: World) -> None:
    """Dovecot's session and ours work on one mailbox in turn and agree on every UID and flag."""
    with world.dovecot() as client:
        client.append("INBOX", "", "", MAIL)
        client.select("INBOX")
        with world.ours() as store, store.open("INBOX") as inbox:
            for _ in range(10):
                code = client.append("INBOX", "(\\Seen)", "", MAIL)[1][0]
                theirs = int(re.search(rb"APPENDUID \d+ (\d+)", code)[1])  # type: ignore[index, arg-type]
                inbox.sync()
                assert max(inbox.messages) == theirs
                (own,) = store.append("INBOX", [NewMail(MAIL, ["\\Flagged"])]).uids
                assert own == theirs + 1
                inbox.store([theirs], "add", ["\\Answered"])
                world.give()
                client.noop()
                # The last two lines: before them stand what NOOP and the command itself found changed.
                flags = client.uid("FETCH", f"{theirs}:{own}", "(FLAGS)")[1][-2:]
                assert [b"\\Answered" in line for line in flags if isinstance(line, bytes)] == [True, False]
                assert [b"\\Flagged" in line for line in flags if isinstance(line, bytes)] == [False, True]
        log = (world.base / "log").read_text()
        assert "Error" not in log, log


# What came from another POP3 server, sizes that the names do not tell, and a field that nobody knows.
UIDLIST = """\
3 V1795344778 N9 Gec8597118ac9026b0d52000083ecc375
1 :1700000001.M1P1.x
3 Pold-uidl-3 :1700000002.M2P1.x
5 O2 Pfive :1700000003.M3P1.x
6 O1 :1700000004.M4P1.x
8 Zq W17 G17.guid :1700000005.M5P1.x
"""


def test_the_fields_of_the_uidlist_stay(world: World) -> None:
    inbox = world.base / "mail" / "alice" / ("mail" if "fs" in world.location else "Maildir")
    control = world.base / "mail" / "alice" / "control" / "INBOX" if "fs" in world.location else inbox
    for name in ("cur", "new", "tmp"):
        (inbox / name).mkdir(parents=True)
    control.mkdir(parents=True, exist_ok=True)
    for number in range(1, 6):
        (inbox / "cur" / f"170000000{number}.M{number}P1.x:2,S").write_bytes(b"Subject: m\n\nx\n")
    (control / "dovecot-uidlist").write_text(UIDLIST)
    with world.ours() as store, store.open("INBOX") as box:
        assert (box.uidvalidity, box.uidnext, list(box.messages)) == (1795344778, 9, [1, 3, 5, 6, 8])
        assert box.messages[8].guid == "17.guid"
        found = {uid: fields for uid, fields in box.pop3_fields().items() if fields != (0, "")}
        assert found == {3: (0, "old-uidl-3"), 5: (2, "five"), 6: (1, "")}
        box.store([1], "add", ["\\Deleted"])
        box.expunge()
        store.append("INBOX", [NewMail(MAIL)])
    with world.dovecot() as client:
        client.append("INBOX", "", "", MAIL)
        seen = by_dovecot(client)["INBOX"]
    assert (seen["validity"], sorted(seen["mails"])) == (1795344778, [3, 5, 6, 8, 9, 10])
    assert seen["mails"][8][3] == "17.guid"
    kept = (control / "dovecot-uidlist").read_text()
    for field in ("3 Pold-uidl-3 :", "5 O2 Pfive :", "6 O1 :", "8 Zq "):
        assert f"\n{field}" in kept
    with world.ours() as store, store.open("INBOX") as box:
        assert list(box.messages) == [3, 5, 6, 8, 9, 10]
        assert box.pop3_fields()[5] == (2, "five")
