"""Either half can be swapped: real Postfix with our authentication service, our MTA with real Dovecot."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript
from tests.interop import realdovecot, realpostfix

pytestmark = pytest.mark.interop

Peer = Callable[[str, str], str]


def smtp_main(lab: Lab, *more: str) -> str:
    """The block of Lab 12.2 for main.cf, with the lab's certificate."""
    certificate_file, key_file = lab.certificate("mailhost")
    return "\n".join((
        f"myhostname = {lab.name}",
        f"mydomain = {lab.domain}",
        f"mydestination = {lab.domain}",
        "mynetworks = 127.0.0.99/32",
        f"smtpd_tls_cert_file = {certificate_file}",
        f"smtpd_tls_key_file = {key_file}",
        "smtpd_tls_security_level = may",
        "smtpd_tls_auth_only = yes",
        "smtpd_sasl_auth_enable = yes",
        "smtpd_sasl_type = dovecot",
        "smtpd_sasl_path = private/auth",
        "smtpd_sasl_security_options = noanonymous",
        "smtpd_sasl_authenticated_header = yes",
        "smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
        *more,
        "",
    ))  # fmt: skip


async def log_in(lab: Lab, port: int, user: str, password: str) -> int:
    """The reply code to AUTH PLAIN inside TLS."""
    async with await SMTP.open("127.0.0.1", port, transcript=Transcript()) as smtp:
        await smtp.ehlo()
        assert "AUTH" not in smtp.keywords
        await smtp.starttls(lab.trust, lab.name)
        assert "PLAIN" in (await smtp.ehlo())["AUTH"].split()
        return (await smtp.auth_plain(user, password)).code


@pytest.mark.needs_root
async def test_real_postfix_logs_users_in_through_our_socket(lab: Lab, peer: Peer, place: Path) -> None:
    postfix = peer("postfix", "postfix")
    queue, port = place / "queue", lab.free_port()
    (queue / "private").mkdir(parents=True)
    ours = place / "ours"
    ours.mkdir(0o755)
    alice = lab.user("alice")
    (ours / "users").write_text(f"{alice.name}:{{PLAIN}}{alice.password}::::::\n")
    (ours / "users").chmod(0o644)
    (ours / "dovecot.conf").write_text(
        dedent(f"""\
        protocols =
        ssl = no
        base_dir = {ours}/run
        auth_mechanisms = plain login
        passdb {{
          driver = passwd-file
          args = {ours}/users
        }}
        userdb {{
          driver = static
          args = uid=65534 gid=65534 home=/nonexistent
        }}
        service auth {{
          # Postfix smtp-auth
          unix_listener {queue}/private/auth {{
            mode = 0600
            user = postfix
            group = postfix
          }}
        }}
        """)
    )
    listeners = f"127.0.0.1:{port} inet n - n - - smtpd\n"
    with realpostfix.running(postfix, place, listeners, smtp_main(lab)):
        # Postfix's own set-up comes first: it fixes the owners of its queue.
        async with lab.daemon(ours, Transcript()):
            assert await log_in(lab, port, alice.name, alice.password) == 235
            assert await log_in(lab, port, alice.name, alice.password + "x") == 535


@pytest.mark.needs_root
async def test_our_mta_uses_real_dovecot_for_logins_and_mailboxes(lab: Lab, peer: Peer, place: Path) -> None:
    dovecot = peer("dovecot", "dovecot-core")
    peer("lmtp", "dovecot-lmtpd")
    alice, token, port = lab.user("alice"), lab.token(), lab.free_port()
    mail_user = pwd.getpwnam("mail")
    theirs, ours, homes = place / "dovecot", place / "ours", place / "homes"
    for path in (theirs, ours, homes, theirs / "sockets"):
        path.mkdir(0o755)
    os.chown(homes, mail_user.pw_uid, mail_user.pw_gid)
    (theirs / "users").write_text(f"{alice.name}:{{PLAIN}}{alice.password}::::::\n")
    (theirs / "users").chmod(0o644)
    auth, lmtp = theirs / "sockets" / "auth", theirs / "sockets" / "lmtp"
    configuration = dedent(f"""\
        protocols = lmtp
        mail_location = maildir:%h/Maildir
        auth_username_format = %Ln
        auth_mechanisms = plain login
        passdb {{
          driver = passwd-file
          args = {theirs}/users
        }}
        userdb {{
          driver = static
          args = uid={mail_user.pw_uid} gid={mail_user.pw_gid} home={homes}/%n
        }}
        service auth {{
          unix_listener {auth} {{
            mode = 0666
          }}
        }}
        service lmtp {{
          unix_listener {lmtp} {{
            mode = 0666
          }}
        }}
        """)
    (ours / "master.cf").write_text(
        f"127.0.0.1:{port} inet n - n - - smtpd\nqmgr unix n - n 300 1 qmgr\nlmtp unix - - n - - lmtp\n"
    )
    (ours / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {ours}/queue\ndata_directory = {ours}/data\n"
        f"maillog_file = {ours}/mail.log\nmaillog_file_prefixes = {ours}\n"
        + smtp_main(lab, f"local_transport = lmtp:unix:{lmtp}", "local_recipient_maps =", f"smtpd_sasl_path = {auth}")
    )
    with realdovecot.running(dovecot, theirs, configuration, [auth, lmtp]):
        async with lab.daemon(ours, Transcript()):
            assert await log_in(lab, port, alice.name, alice.password) == 235
            async with await SMTP.open("127.0.0.1", port, transcript=Transcript()) as smtp:
                await smtp.ehlo()
                reply = await smtp.send_message(
                    "friend@outside.example", [f"{alice.name}@{lab.domain}"], lab.message(token, "to real Dovecot\n")
                )
                assert reply.code == 250
            async with asyncio.timeout(15):
                while not (found := list((homes / alice.name / "Maildir" / "new").glob("*"))):
                    await asyncio.sleep(0.05)
            assert token in found[0].read_text()
