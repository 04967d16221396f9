"""What the kernel is asked while every escape is tried in every command: no path leaves the mail root."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .test_folders import ESCAPES

pytestmark = [pytest.mark.interop, pytest.mark.needs("strace", "strace")]

SCRIPT = """
import os, sys
from imap.store import MailRoot, NamespaceInfo, NewMail, StoreError
from imap.store.location import parse
root, layout = sys.argv[1:3]
place = parse("maildir:~/Maildir" + layout, root, root + "/alice")
store = MailRoot.open(root).user("alice", [(NamespaceInfo("", place.separator, inbox=True), place)])
store.create("a")
store.append("INBOX", [NewMail(b"x: y")])
box = store.open("INBOX")
os.path.exists("/-- begin --")
for name in sys.argv[3:]:
    name = name.replace("%00", chr(0))
    for command in (
        lambda: store.create(name), lambda: store.open(name), lambda: store.status(name), lambda: store.exists(name),
        lambda: store.rename("a", name), lambda: store.append(name, [NewMail(b"x: y")]), lambda: box.copy([1], name),
        lambda: store.deliver(name, NewMail(b"x: y")), lambda: store.subscribe(name), lambda: store.unsubscribe(name),
        lambda: box.move([], name), lambda: store.delete(name), lambda: store.rename(name, "b"),
        store.list_mailboxes, store.subscriptions,
    ):
        try:
            command()
        except StoreError:
            pass
        if store.exists("b"):
            store.rename("b", "a")
os.path.exists("/-- end --")
"""
# A system call on a path; the paths stand in quotation marks.
PATHS = re.compile(r'"((?:[^"\\]|\\.)*)"')


@pytest.mark.parametrize("layout", ["", ":LAYOUT=fs"])
def test_no_system_call_names_a_path_outside(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-s", "4096", "-e", "trace=%file", "-o", str(trace), sys.executable, "-c", SCRIPT]
    names = [name.replace("\0", "%00") for name in ESCAPES]
    subprocess.run([*traced, root, layout, *names], check=True, timeout=120)
    text = trace.read_text()
    calls = text.rpartition("/-- begin --")[2].partition("/-- end --")[0].split("\n")[1:-1]
    assert len(calls) > 300
    # SQLite alone uses whole paths, and looks up their components: those of its own database.
    own = re.compile(rf"/proc/self/fd/\d+(/hardmail\.index[^/]*)?|{root}/alice/Maildir(/hardmail\.index[^/]*)?")
    above = {str(path) for path in (root / "alice", *root.parents, root)} | {"/proc", "/proc/self", "/proc/self/fd"}
    for call in calls:
        for path in PATHS.findall(call):
            if path.startswith("/"):
                looks = re.search(r" (readlink|lstat|newfstatat)\(", call)
                assert own.fullmatch(path) or (path in above and looks), call
            else:
                assert ".." not in path.split("/"), call
                assert not path.startswith("~"), call
