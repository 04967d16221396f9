"""Our IMAP and POP3 servers log users in through real Dovecot's authentication service."""

from __future__ import annotations

import asyncio
import imaplib
import os
import poplib
import pwd
from pathlib import Path

import pytest

from lab.behaviours.processes import running_daemon
from tests.interop import realdovecot
from tests.servers import free_port

pytestmark = [pytest.mark.interop, pytest.mark.needs_root, pytest.mark.needs("dovecot", "dovecot-core")]


def configuration(place: Path, imap: int, pop3: int) -> str:
    """Our dovecot.conf, whose auth service has none of the sockets that log-ins need."""
    mail = pwd.getpwnam("mail")
    return (
        f"protocols = imap pop3\nssl = no\nlisten = 127.0.0.1\nbase_dir = {place}/ours\nstate_dir = {place}/state\n"
        f"log_path = {place}/ours.log\nmail_location = maildir:~/Maildir\nhardmail_mail_root = {place}/mail\n"
        f"mail_uid = {mail.pw_uid}\nmail_gid = {mail.pw_gid}\nfirst_valid_uid = 1\n"
        "passdb {\n  driver = static\n  args = password=not-asked\n}\n"
        f"userdb {{\n  driver = static\n  args = uid={mail.pw_uid} gid={mail.pw_gid} home={place}/mail/%u\n}}\n"
        "service auth {\n  unix_listener login/login {\n    mode = 0\n  }\n  unix_listener auth-userdb {\n    mode = 0\n  }\n}\n"
        f"service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n"
        f"service pop3-login {{\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n"
    )


def theirs(place: Path) -> str:
    """Dovecot's, with those sockets in our base_dir."""
    mail = pwd.getpwnam("mail")
    return (
        "auth_mechanisms = plain login cram-md5 scram-sha-256 apop\n"
        f"passdb {{\n  driver = passwd-file\n  args = {place}/users\n}}\n"
        f"userdb {{\n  driver = static\n  args = uid={mail.pw_uid} gid={mail.pw_gid} home={place}/mail/%u\n}}\n"
        f"service auth {{\n  unix_listener {place}/ours/login/login {{\n    mode = 0666\n  }}\n"
        f"  unix_listener {place}/ours/auth-userdb {{\n    mode = 0666\n  }}\n}}\n"
    )


async def test_our_servers_ask_real_dovecot(place: Path) -> None:
    mail = pwd.getpwnam("mail")
    imap, pop3 = free_port(), free_port()
    (place / "users").write_text("alice:{PLAIN}secret\n")
    (place / "users").chmod(0o644)
    (place / "ours" / "login").mkdir(parents=True)
    (place / "mail").mkdir()
    os.chown(place / "mail", mail.pw_uid, mail.pw_gid)
    confdir = place / "conf"
    confdir.mkdir()
    (confdir / "dovecot.conf").write_text(configuration(place, imap, pop3))
    real = place / "real"
    real.mkdir()
    with realdovecot.authenticating(real, theirs(place)):
        async with running_daemon(confdir):
            await asyncio.to_thread(log_in_imap, imap)
            await asyncio.to_thread(log_in_pop3, pop3)


def log_in_imap(port: int) -> None:
    with imaplib.IMAP4("127.0.0.1", port) as imap:
        assert "AUTH=SCRAM-SHA-256" in imap.capabilities
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            imap.login("alice", "wrong")
        imap.login_cram_md5("alice", "secret")
        assert imap.select()[0] == "OK"


def log_in_pop3(port: int) -> None:
    pop3 = poplib.POP3("127.0.0.1", port, timeout=20)
    with pytest.raises(poplib.error_proto, match="AUTH"):
        pop3.apop("alice", "wrong")
    pop3.apop("alice", "secret")  # the challenge that we make is one that Dovecot knows for its own
    assert pop3.stat() == (0, 0)
    pop3.quit()
