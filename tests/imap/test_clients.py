"""Real clients with a folder of 500 mails: each reads all of them, changes flags, moves and appends, as far as it can."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import mailbox
import os
import poplib
import pty
import re
import select
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aioimaplib
import pytest
from imapclient import IMAPClient

from imap.imap4.service import sessions as imap_sessions
from imap.imap4.session import Settings as ImapSettings
from imap.pop3.service import sessions as pop3_sessions
from imap.pop3.session import Settings as Pop3Settings
from imap.store import UserStore
from tests.imap.corpus import COUNT, message, messages

pytestmark = pytest.mark.interop

SECONDS = 60


@pytest.fixture
def store(mail: Any) -> Any:
    """Alice's mail: 500 in INBOX, and an empty Archive."""
    del mail.auth.offered[1:]  # the stand-in for the auth service speaks PLAIN only
    mail.deliver("alice", *messages())
    store = mail.settings.user_store(mail.mail_root, "alice", {"home": str(mail.root / "alice")})
    store.create("Archive")
    yield store
    store.close()


@pytest.fixture
async def imap(serve: Any, store: UserStore) -> Any:
    return await serve("imap", lambda service: imap_sessions(service, ImapSettings()))


@pytest.fixture
async def pop3(serve: Any, store: UserStore) -> Any:
    return await serve("pop3", lambda service: pop3_sessions(service, Pop3Settings()))


def count(store: UserStore, folder: str, flag: str = "") -> int:
    """How many mails a folder has, or how many with a flag."""
    with store.open(folder) as box:
        return sum(not flag or flag in each.flags for each in box.messages.values())


async def run(*command: str | Path, home: Path, text: bytes | None = None) -> bytes:
    """Run a program to its end; its output."""

    def start() -> bytes:
        done = subprocess.run(
            [str(word) for word in command], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "vt100", "LC_ALL": "C"}, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    return await asyncio.to_thread(start)


async def test_imaplib(imap: Any, store: UserStore) -> None:
    def use() -> None:
        with imaplib.IMAP4("127.0.0.1", imap.port) as client:
            client.login("alice", "testpass")
            assert client.select()[1] == [b"500"]
            fetched = [part[1] for part in client.fetch("1:*", "(BODY.PEEK[])")[1] if isinstance(part, tuple)]
            assert fetched == messages()
            assert len(client.store("1:100", "+FLAGS", "(\\Seen \\Flagged)")[1]) == 100
            assert client.uid("MOVE", "101:150", "Archive")[0] == "OK"
            assert client.append("INBOX", "\\Draft", imaplib.Time2Internaldate(1_700_000_000), message(1001))[0] == "OK"

    await asyncio.to_thread(use)
    assert (count(store, "INBOX"), count(store, "INBOX", "\\Flagged"), count(store, "INBOX", "\\Draft")) == (
        451,
        100,
        1,
    )
    assert count(store, "Archive") == 50


async def test_imapclient(imap: Any, store: UserStore) -> None:
    def use() -> None:
        with IMAPClient("127.0.0.1", imap.port, ssl=False) as client:
            client.login("alice", "testpass")
            assert client.select_folder("INBOX")[b"EXISTS"] == COUNT
            everything = client.fetch(client.search("ALL"), ["FLAGS", "ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]"])
            assert [data[b"BODY[]"] for _, data in sorted(everything.items())] == messages()
            assert everything[7][b"ENVELOPE"].message_id == b"<6@a.test>"
            assert everything[2][b"BODYSTRUCTURE"].is_multipart
            uids = client.search(["SUBJECT", "ü 49"], "UTF-8")
            assert len(uids) == 11
            client.add_flags(uids, ["\\Flagged", "$Label1"])
            client.remove_flags(uids[:1], ["\\Flagged"])
            client.move(uids, "Archive")
            client.append("INBOX", message(1001), ["\\Draft"])
            assert client.folder_status("INBOX", ["MESSAGES"])[b"MESSAGES"] == COUNT - 10
            client.idle()
            store.deliver("INBOX", new_mail())
            assert client.idle_check(SECONDS)
            client.idle_done()

    await asyncio.to_thread(use)
    assert (count(store, "Archive", "\\Flagged"), count(store, "Archive", "$Label1")) == (10, 11)
    assert count(store, "INBOX") == COUNT - 9


def new_mail() -> Any:
    from imap.store import NewMail

    return NewMail(message(1002))


async def test_aioimaplib(imap: Any, store: UserStore) -> None:
    client = aioimaplib.IMAP4(host="127.0.0.1", port=imap.port, timeout=SECONDS)
    await client.wait_hello_from_server()
    await client.login("alice", "testpass")
    assert b"500 EXISTS" in (await client.select("INBOX")).lines
    fetched = await client.uid("fetch", "1:*", "(BODY.PEEK[])")
    assert [bytes(line) for line in fetched.lines if isinstance(line, bytearray)] == messages()
    assert (await client.uid("store", "1:100", "+FLAGS (\\Flagged)")).result == "OK"
    assert (await client.uid("move", "101:150", "Archive")).result == "OK"
    assert (await client.append(message(1001), "INBOX", "\\Draft")).result == "OK"
    await client.logout()
    assert (count(store, "INBOX"), count(store, "INBOX", "\\Flagged"), count(store, "Archive")) == (451, 100, 50)


async def test_poplib(pop3: Any, store: UserStore) -> None:
    def use() -> None:
        client = poplib.POP3("127.0.0.1", pop3.port)
        client.user("alice")
        client.pass_("testpass")
        assert client.stat()[0] == COUNT
        assert len(client.uidl()[1]) == COUNT
        for number, sent in enumerate(messages(), 1):
            lines = client.retr(number)[1]
            assert b"\r\n".join(lines) + b"\r\n" == sent + (b"" if sent.endswith(b"\r\n") else b"\r\n")
        for number in range(1, 101):
            client.dele(number)
        client.quit()

    await asyncio.to_thread(use)
    assert count(store, "INBOX") == COUNT - 100


@pytest.mark.needs("curl", "curl")
async def test_curl(imap: Any, store: UserStore, tmp_path: Path) -> None:
    curl = ["curl", "-sS", "-u", "alice:testpass"]
    inbox = f"imap://127.0.0.1:{imap.port}/INBOX"
    found = await run(*curl, inbox, "-X", "UID SEARCH ALL", home=tmp_path)
    assert found.split() == [b"*", b"SEARCH", *(b"%d" % uid for uid in range(1, COUNT + 1))]
    assert await run(*curl, f"{inbox};UID=[1-{COUNT}]", home=tmp_path) == b"".join(messages())
    await run(*curl, inbox, "-X", "UID STORE 1:100 +FLAGS (\\Flagged)", home=tmp_path)
    await run(*curl, inbox, "-X", "UID MOVE 101:150 Archive", home=tmp_path)
    new = tmp_path / "new"
    new.write_bytes(message(1001))
    await run(*curl, "-T", new, f"imap://127.0.0.1:{imap.port}/Archive", home=tmp_path)
    assert (count(store, "INBOX"), count(store, "INBOX", "\\Flagged"), count(store, "Archive")) == (450, 100, 51)


@pytest.mark.needs("mutt", "mutt")
async def test_mutt(imap: Any, store: UserStore, tmp_path: Path) -> None:
    """Flag a hundred, move fifty, save a mail of a local mbox into the folder."""
    url = f"imap://127.0.0.1:{imap.port}/"
    local = tmp_path / "local"
    with contextlib.closing(mailbox.mbox(local)) as box:
        box.add(message(1001))
    rc = tmp_path / "muttrc"
    common = (
        "set ssl_starttls=no ssl_force_tls=no imap_user=alice imap_pass=testpass confirmappend=no confirmcreate=no quit=yes\n"
        f'set delete=yes wait_key=no folder="{url}"\n'
    )
    first_hundred, next_fifty = "~m 1-100", "~m 101-150"
    rc.write_text(
        common
        + f'push "<tag-pattern>{first_hundred}<enter><tag-prefix><flag-message><untag-pattern>~A<enter>'
        + f'<tag-pattern>{next_fifty}<enter><tag-prefix><save-message>=Archive<enter><sync-mailbox><quit>"\n'
    )
    await run("script", "-qec", shlex.join(["mutt", "-F", str(rc), "-f", f"{url}INBOX"]), "/dev/null", home=tmp_path)
    rc.write_text(common + 'push "<copy-message>=INBOX<enter><exit>"\n')
    await run("script", "-qec", shlex.join(["mutt", "-F", str(rc), "-f", str(local)]), "/dev/null", home=tmp_path)
    assert (count(store, "INBOX"), count(store, "INBOX", "\\Flagged"), count(store, "Archive")) == (451, 100, 50)


@pytest.mark.needs("fetchmail", "fetchmail")
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
async def test_fetchmail(
    protocol: str, request: pytest.FixtureRequest, store: UserStore, serve: Any, tmp_path: Path
) -> None:
    """All are fetched, and deleted on the server."""
    make: Callable[[Any], Any] = (
        (lambda service: imap_sessions(service, ImapSettings()))
        if protocol == "imap"
        else (lambda service: pop3_sessions(service, Pop3Settings()))
    )
    server = await serve(protocol, make)
    inbox = tmp_path / "inbox"
    rc = tmp_path / "fetchmailrc"
    rc.write_text(
        f"poll 127.0.0.1 protocol {protocol} port {server.port}\n"
        f'  user "alice" password "testpass" sslproto "" fetchall mda "cat >> {inbox}"\n'
    )
    rc.chmod(0o600)
    await run("fetchmail", "-f", rc, "--pidfile", tmp_path / "pid", home=tmp_path)
    assert len(set(re.findall(rb"(?m)^Message-ID: <\d+@a.test>", inbox.read_bytes()))) == COUNT
    assert count(store, "INBOX") == 0


@pytest.mark.slow
@pytest.mark.needs("getmail", "getmail6")
async def test_getmail(imap: Any, store: UserStore, tmp_path: Path) -> None:
    """All are fetched, and moved on the server."""
    inbox, rc = tmp_path / "inbox", tmp_path / "getmailrc"
    deliver = tmp_path / "deliver"
    # getmail does not hear of the end of a child that ends before it waits for it (a Condition without a predicate).
    deliver.write_text(f"#!/bin/sh\ncat >> {inbox}\nsleep 0.02\n")
    deliver.chmod(0o755)
    rc.write_text(
        f"[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\nport = {imap.port}\ntimeout = 5\n"
        'username = alice\npassword = testpass\nmailboxes = ("INBOX",)\nmove_on_delete = Archive\n'
        f"[destination]\ntype = MDA_external\npath = {deliver}\nallow_root_commands = true\n"
        "[options]\ndelete = true\ndelivered_to = false\nreceived = false\n"
    )
    for _ in range(10):  # after its 5 seconds it leaves such a mail for the next time
        await run("getmail", f"--getmaildir={tmp_path}", f"--rcfile={rc}", home=tmp_path)
        if not count(store, "INBOX"):
            break
    found = set(re.findall(rb"(?m)^Message-ID: <(\d+)@a.test>", inbox.read_bytes()))
    assert {int(number) for number in found} == set(range(COUNT))
    assert (count(store, "INBOX"), count(store, "Archive")) == (0, COUNT)


# What alpine shows, and what is typed then.
ALPINE = (
    (b"ENTER PASSWORD", b"testpass\r"), (b"Yes", b"n"),  # keep it? no
    (b"opened with 500 messages", b";"), (b"SELECT", b"n"), (b"umber", b"1-100\r"),
    (b"matched 100", b"a"), (b"APPLY", b"*"), (b"lag", b"*"),  # the flag: important
    (b"Flagged 100", b";"), (b"ALTER", b"a"), (b"100 messages UNselected", b";"), (b"SELECT", b"n"), (b"umber", b"101-150\r"),
    (b"matched 50", b"a"), (b"APPLY", b"s"), (b"SAVE", b"Archive\r"), (b" D 1", b"x"), (b"xpunged", b"c"),
    (b"COMPOSE", b"bob@a.test\t\t\tnot yet\t"), (b"not yet", b"Later.\r\x0f"), (b"ostpone", b"q"),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.needs("alpine", "alpine")
async def test_alpine(imap: Any, store: UserStore, tmp_path: Path) -> None:
    """Flag a hundred, move fifty, write a mail and postpone it (APPEND), as somebody at a terminal does."""
    url = f"{{127.0.0.1:{imap.port}/user=alice/notls}}"
    rc = tmp_path / "pinerc"
    features = "enable-aggregate-command-set,enable-flag-cmd,quit-without-confirm,expunge-without-confirm-everywhere"
    rc.write_text(
        f"inbox-path={url}INBOX\nfolder-collections={url}[]\nfeature-list={features}\nlast-version-used=6.26\n"
        f"postponed-folder={url}Drafts\n"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TERM": "linux", "LC_ALL": "C"}

    def use() -> None:
        ours, its = pty.openpty()
        process = subprocess.Popen(
            ["alpine", "-p", rc, "-i"], stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
        )
        os.close(its)
        screen = b""
        try:
            for wanted, typed in ALPINE:
                while wanted not in screen:
                    assert select.select([ours], [], [], SECONDS)[0], (wanted, screen[-2000:])
                    screen += os.read(ours, 1 << 16)
                screen = screen.partition(wanted)[2]
                os.write(ours, typed)
            with contextlib.suppress(OSError):  # EIO: it has left the terminal
                while os.read(ours, 1 << 16):
                    pass
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    await asyncio.to_thread(use)
    assert (count(store, "INBOX"), count(store, "INBOX", "\\Flagged"), count(store, "Archive")) == (450, 100, 50)
    assert count(store, "Drafts") == 1
