"""Every command that takes a name, with every form of escape that is known, watched by strace: nothing outside is opened.

strace -y tells for each descriptor which file it is: what an open returned, whatever its path looked like.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from imap.imap4.commands import COMMANDS

pytestmark = [pytest.mark.interop, pytest.mark.needs("strace", "strace")]

# As they stand in the command; the last few are links that lie in the Maildir and lead out.
NAMES = [
    b"../escape", b"../../escape", b"../../../../../../etc/passwd", b"a/../../escape", b"INBOX/../../escape", b"a/..",
    b"./x", b".", b"..", b"...", b".../x", b"a.../..", b"..../escape", b"a..b", b".a", b"a.", b"a..", b"./../x", b"a/./b",
    b"/etc/passwd", b"//etc/passwd", b"/", b"//", b"/var/escape", b"/proc/self/root/etc", b"/proc/self/cwd/x",
    b"/proc/self/fd/0", b"/dev/shm/escape", b"/tmp/escape", b"file:///etc/passwd", b"{server.example}/etc/passwd",
    b"~", b"~/x", b"~root", b"~root/escape", b"~nobody/x", b"$HOME/x", b"%h/x", b"%u", b"`id`", b"|id",
    b"..%2fescape", b"..%5cescape", b"%2e%2e%2fescape", b"\\..\\escape", b"..\\escape", b"C:\\escape", b"\\\\host\\share",
    b"&AC4ALg-/escape", b"&AC8-etc&AC8-passwd", b"&AC4ALgAv-escape", b"&AAA-", b"&AAAAAA-x", b"&2D0-", b"&AC8", b"..&AC8-x",
    b"\xc0\xae\xc0\xae/escape", b"\xef\xbc\x8e\xef\xbc\x8e/x", b"\xe2\x80\xa5/x", b"a\tb", b"a\x7fb", b"a\nb", b"a\rb",
    b"cur/../../../escape", b"cur", b"new", b"tmp", b"tmp/x", b"dovecot-uidlist", b"hardmail.index", b"subscriptions",
    b"x" * 300, b"a/" * 150, b"a." * 150, b"*", b"%", b"#news.escape", b"#shared/../x", b"-rf", b"NIL", b"",
    b"linkdir", b"linkdir.a", b"linketc", b"linkcur", b"linkfile", b"linkroot.etc.passwd",
]  # fmt: skip

SCRIPT = """
import asyncio, os, sys
from types import SimpleNamespace
from imap.imap4.session import Session
from imap.imap4.settings import Settings
from imap.store import MailRoot, NamespaceInfo, NewMail
from imap.store.access import AclSettings
from imap.store.location import parse

class Wire:
    local, remote = ("127.0.0.1", 143), ("127.0.0.1", 4711)
    write = start_tls = start_compression = set_timeout = staticmethod(lambda *_: None)
    close = writable = staticmethod(lambda: None)

def session(store):
    nothing = lambda *_: None
    login = SimpleNamespace(user="alice", who=lambda: "alice", log_end=nothing, release=nothing)
    made = Session(Wire(), login, Settings(extensions=True, quota=True, acl=True, metadata=True))
    made.logged_in_as(store())
    return made

async def main(root, layout, separator):
    place = parse("maildir:~/Maildir" + layout, root, root + "/alice")
    jail = MailRoot.open(root)
    acl = AclSettings(anyone=True, shared_dict="alice/shared")
    spaces = [(NamespaceInfo("", separator, inbox=True), place)]
    store = lambda: jail.user("alice", spaces, attributes="alice/attributes", acl=acl)
    with store() as first:
        first.append("INBOX", [NewMail(b"x: y")])
        first.create("a")
    one = None
    names = sys.stdin.buffer.read().split(b"\\0")
    os.path.exists("/-- begin --")
    for name in names:
        lit = b"{%d+}\\r\\n%b" % (len(name), name)
        for command in (
            b"CREATE %b", b"LIST \\"\\" %b", b"LIST %b *", b"LSUB \\"\\" %b", b"LSUB %b %%", b"STATUS %b (MESSAGES)",
            b"SELECT %b", b"EXAMINE %b", b"SELECT INBOX", b"COPY 1 %b", b"UID COPY 1 %b", b"APPEND %b {4+}\\r\\nx: y",
            b"REPLACE 1 %b {4+}\\r\\nx: y", b"SELECT INBOX", b"MOVE 1 %b", b"APPEND INBOX {4+}\\r\\nx: y", b"SUBSCRIBE %b",
            b"UNSUBSCRIBE %b", b"GETQUOTAROOT %b", b"GETQUOTA %b", b"XLIST \\"\\" %b", b"RENAME a %b", b"RENAME %b b",
            b"NOTIFY SET (MAILBOXES %b (MessageNew MessageExpunge))", b"NOTIFY SET (SUBTREE %b (MailboxName))",
            b"APPEND INBOX CATENATE (URL \\"/" + name.replace(b"\\\\", b"").replace(b"\\r", b"").replace(b"\\n", b"")
            + b"/;UID=1\\")", b"LIST (SUBSCRIBED) \\"\\" (%b) RETURN (STATUS (MESSAGES))", b"MYRIGHTS %b",
            b"GETACL %b", b"SETACL %b bob lr", b"SETACL INBOX %b lr", b"DELETEACL INBOX %b", b"DELETEACL %b bob",
            b"LISTRIGHTS %b bob", b"SETQUOTA %b (STORAGE 10)", b"GETMETADATA INBOX %b",
            b"GETMETADATA %b /private/x", b"SETMETADATA %b (/private/x y)", b"SETMETADATA INBOX (%b y)",
            b"SELECT INBOX\\r\\nu ENABLE UTF8=ACCEPT\\r\\nv CREATE %b", b"DELETE %b", b"CREATE a",
        ):
            if b"CATENATE" not in command:
                command = command % ((lit,) if b"%b" in command else ())
            one = session(store) if one is None or one.closed else one
            one.receive(b"s SELECT INBOX\\r\\nt " + command + b"\\r\\n")
            while one.busy:
                await asyncio.sleep(0)
    one.lost()
    os.path.exists("/-- end --")

asyncio.run(main(*sys.argv[1:4]))
"""

# Commands in which no mailbox, user or entry is named.
NAMELESS = frozenset(
    [
        "AUTHENTICATE",
        "CANCELUPDATE",
        "CAPABILITY",
        "CHECK",
        "CLOSE",
        "COMPRESS",
        "ENABLE",
        "EXPUNGE",
        "FETCH",
        "ID",
        "IDLE",
        "LOGIN",
        "LOGOUT",
        "NAMESPACE",
        "NOOP",
        "SEARCH",
        "SORT",
        "STARTTLS",
        "STORE",
        "THREAD",
        "UNSELECT",
    ]
)

# ``openat2(5</root/alice>, "x", ...) = 6</root/alice/x>``: the path that was asked for, and the file that it led to.
OPENED = re.compile(r"open(?:at2?)?\(.*\) = \d+<([^>]*)>")
CHANGED = re.compile(r"(?:rename|link|unlink|mkdir|rmdir|symlink|chmod|chown|utime|truncate|mknod|creat)\w*\(.*\) = 0")
ABSOLUTE = re.compile(r'"(/[^"]*)"')
DIRECTORY = re.compile(r"\d+<([^>]*)>")


def test_every_command_that_takes_a_name_is_tried() -> None:
    tried = {command for command in COMMANDS if re.search(rf'\b{command} (?:[^"]|\\")*(?:%b|CATENATE)', SCRIPT)}
    assert tried >= COMMANDS.keys() - NAMELESS


@pytest.mark.parametrize(("layout", "separator"), [("", "."), (":LAYOUT=fs", "/")])
def test_nothing_outside_of_the_mail_root_is_opened(tmp_path: Path, layout: str, separator: str) -> None:
    assert len(NAMES) >= 60
    root, outside, trace = tmp_path / "root", tmp_path / "outside", tmp_path / "trace"
    maildir = root / "alice" / "Maildir"
    for directory in (maildir, outside / "cur", outside / "new", outside / "tmp", root / "bob"):
        directory.mkdir(parents=True)
    (outside / "cur" / "1.secret:2,S").write_text("Subject: secret\n\n")
    dot = "" if layout else "."
    for name, target in (("linkdir", outside), ("linketc", Path("/etc")), ("linkroot", Path("/"))):
        (maildir / (dot + name)).symlink_to(target)
    (maildir / (dot + "linkcur")).mkdir()
    (maildir / (dot + "linkcur") / "cur").symlink_to(outside / "cur")
    (maildir / (dot + "linkfile")).symlink_to("/etc/passwd")

    traced = ["strace", "-f", "-y", "-s", "512", "-e", "trace=%file,openat2", "-o", str(trace)]
    run = [*traced, sys.executable, "-c", SCRIPT, str(root), layout, separator]
    subprocess.run(run, input=b"\0".join(NAMES), check=True, timeout=300, capture_output=True)

    text = trace.read_text(errors="replace")
    calls = text.rpartition("/-- begin --")[2].partition("/-- end --")[0].split("\n")[1:-1]
    own = re.compile(rf"{root}/alice/Maildir/hardmail\.index(-\w+)?")  # SQLite alone uses whole paths
    opened = [(found[1], call) for call in calls if (found := OPENED.search(call))]
    assert len(opened) > 5000
    for path, call in opened:
        assert path == str(root) or path.startswith(f"{root}/alice"), call
    for call in filter(CHANGED.search, calls):
        for path in DIRECTORY.findall(call):
            assert path.startswith(f"{root}/alice"), call
        assert all(map(own.fullmatch, ABSOLUTE.findall(call))), call
    assert sorted(path.name for path in outside.rglob("*")) == ["1.secret:2,S", "cur", "new", "tmp"]
    assert not list((root / "bob").iterdir())
