"""Real clients read mail: imaplib, poplib, curl, mutt, fetchmail."""

from __future__ import annotations

import asyncio
import contextlib
import email
import imaplib
import mailbox
import poplib
import shlex
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imap.imap4.service import sessions as imap_sessions
from imap.imap4.settings import Settings as ImapSettings
from imap.pop3.service import sessions as pop3_sessions
from imap.pop3.session import Settings as Pop3Settings

pytestmark = pytest.mark.interop

MAIL = b"From: bob@b.test\r\nSubject: interop\r\nMessage-ID: <i@b>\r\n\r\nHello there\r\n.\r\nend\r\n"


@pytest.fixture(autouse=True)
def only_plain(mail: Any) -> None:
    """The stand-in for the auth service speaks PLAIN only; clients would choose what it merely announces."""
    del mail.auth.offered[1:]


@pytest.fixture
async def imap(serve: Any, mail: Any) -> Any:
    """IMAP with one message for alice."""
    mail.deliver("alice", MAIL)
    return await serve("imap", lambda service: imap_sessions(service, ImapSettings()))


@pytest.fixture
async def pop3(serve: Any, mail: Any) -> Any:
    """POP3 with one message for alice."""
    mail.deliver("alice", MAIL)
    return await serve("pop3", lambda service: pop3_sessions(service, Pop3Settings()))


async def run(*arguments: str, home: Path) -> bytes:
    """Run a program to its end; its output."""

    def start() -> bytes:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "vt100", "LC_ALL": "C"},
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return await asyncio.to_thread(start)


async def test_imaplib(imap: Any) -> None:
    def use() -> None:
        with imaplib.IMAP4("127.0.0.1", imap.port) as client:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.starttls(context)
            client.login("alice", "testpass")
            assert client.select()[1] == [b"1"]
            number = client.search(None, "SUBJECT", "interop")[1][0]
            fetched = client.fetch(number, "(RFC822)")[1][0]
            assert isinstance(fetched, tuple)
            assert fetched[1] == MAIL
            assert client.store(number, "+FLAGS", "\\Flagged")[0] == "OK"
            assert client.create("Archive")[0] == "OK"
            assert client.copy(number, "Archive")[0] == "OK"
            assert client.append("Archive", "\\Seen", imaplib.Time2Internaldate(1700000000), MAIL)[0] == "OK"
            assert client.status("Archive", "(MESSAGES UNSEEN)")[1] == [b"Archive (MESSAGES 2 UNSEEN 0)"]
            assert client.select("Archive")[1] == [b"2"]
            client.uid("STORE", "1", "+FLAGS", "\\Deleted")
            assert client.expunge()[1] == [b"1"]

    await asyncio.to_thread(use)


async def test_poplib(pop3: Any) -> None:
    def use() -> None:
        client = poplib.POP3("127.0.0.1", pop3.port)
        client.user("alice")
        client.pass_("testpass")
        assert client.stat() == (1, len(MAIL))
        assert client.retr(1)[1] == MAIL.rstrip(b"\r\n").split(b"\r\n")
        assert client.capa()["UIDL"] == []
        client.dele(1)
        client.quit()

    await asyncio.to_thread(use)


@pytest.mark.needs("curl", "curl")
async def test_curl_imap(imap: Any, tmp_path: Path) -> None:
    url = f"imaps://127.0.0.1:{imap.tls_port}/INBOX;MAILINDEX=1"
    assert await run("curl", "-ksS", "-u", "alice:testpass", url, home=tmp_path) == MAIL
    url = f"imap://127.0.0.1:{imap.port}/"
    listing = await run("curl", "-ksS", "--ssl-reqd", "-u", "alice:testpass", url, home=tmp_path)
    assert b"* LIST (\\HasNoChildren)" in listing


@pytest.mark.needs("curl", "curl")
async def test_curl_pop3(pop3: Any, tmp_path: Path) -> None:
    url = f"pop3s://127.0.0.1:{pop3.tls_port}/1"
    assert await run("curl", "-ksS", "-u", "alice:testpass", url, home=tmp_path) == MAIL
    url = f"pop3://127.0.0.1:{pop3.port}/"
    listing = await run("curl", "-ksS", "--ssl-reqd", "-u", "alice:testpass", url, home=tmp_path)
    assert listing == b"1 %d\r\n" % len(MAIL)


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.needs("fetchmail", "fetchmail")
async def test_fetchmail(protocol: str, request: pytest.FixtureRequest, serve: Any, mail: Any, tmp_path: Path) -> None:
    mail.deliver("alice", MAIL)
    make = (
        (lambda service: imap_sessions(service, ImapSettings()))
        if protocol == "imap"
        else (lambda service: pop3_sessions(service, Pop3Settings()))
    )
    server = await serve(protocol, make)
    inbox = tmp_path / "inbox"
    script = tmp_path / "deliver"
    script.write_text(f"#!/bin/sh\ncat >> {inbox}\n")
    script.chmod(0o755)
    rc = tmp_path / "fetchmailrc"
    rc.write_text(
        f"poll 127.0.0.1 protocol {protocol} port {server.port}\n"
        f'  user "alice" password "testpass" no sslcertck mda "{script}"\n'
    )
    rc.chmod(0o600)
    await run("fetchmail", "-f", str(rc), "--pidfile", str(tmp_path / "pid"), "-k", home=tmp_path)
    received = email.message_from_bytes(inbox.read_bytes())
    assert received["Subject"] == "interop"


@pytest.mark.needs("mutt", "mutt")
async def test_mutt(imap: Any, tmp_path: Path) -> None:
    """mutt opens the folder, tags everything and saves a copy into a local mbox."""
    copy = tmp_path / "copy.mbox"
    rc = tmp_path / "muttrc"
    rc.write_text(
        "set ssl_verify_host=no ssl_verify_dates=no ssl_starttls=no ssl_force_tls=no\n"
        "set imap_user=alice imap_pass=testpass confirmappend=no confirmcreate=no quit=yes\n"
        f'push "<tag-pattern>~A<enter><tag-prefix><copy-message>{copy}<enter><exit>"\n'
    )
    command = shlex.join(["mutt", "-F", str(rc), "-f", f"imap://127.0.0.1:{imap.port}/INBOX"])
    await run("script", "-qec", command, "/dev/null", home=tmp_path)  # mutt wants a terminal
    with contextlib.closing(mailbox.mbox(copy)) as saved:
        (message,) = saved
        assert message["Subject"] == "interop"
