"""Programs that hand mail over: msmtp and nullmailer by SMTP, git, cron, PHP and others by the sendmail command."""

from __future__ import annotations

import subprocess
from email import message_from_bytes
from pathlib import Path

import pytest

from lab.behaviours.processes import HARDMAIL
from lab.behaviours.stack import Lab
from lab.wire import Transcript
from mta.sendmail import maildrop
from mta.sendmail.maildrop import Drop
from tests.interop.test_clients import Peer, output_of

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parent.parent.parent
NULLMAILER = "/opt/nullmailer/usr/lib/nullmailer"
"""Where .ci/peers unpacks it: as a package it would replace Postfix."""


async def test_msmtp(lab: Lab, peer: Peer, tmp_path: Path) -> None:
    alice, token, (address, port) = lab.user("alice"), lab.token(), lab.endpoint("mailhost.submission")
    configuration = tmp_path / "msmtprc"
    configuration.write_text(
        f"account default\nhost {address}\nport {port}\nfrom {alice.address}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {lab.ca_file}\ntls_host_override {lab.name}\nauth on\nuser {alice.name}\npassword {alice.password}\n"
    )
    configuration.chmod(0o600)
    letter = f"Subject: {token}\n\n.by msmtp\n"
    await output_of(peer("msmtp", "msmtp"), "-C", str(configuration), alice.address, stdin=letter)
    assert b"\n.by msmtp" in (await lab.arrived(alice, token, Transcript())).replace(b"\r", b"")


@pytest.mark.needs("smtp", "nullmailer", NULLMAILER)
async def test_nullmailer(lab: Lab, peer: Peer, tmp_path: Path) -> None:
    """Its sending half, called as nullmailer-send does: options on standard input, the queue file on descriptor 3."""
    alice, token, (address, port) = lab.user("alice"), lab.token(), lab.endpoint("mailhost.submission")
    options, queued = tmp_path / "options", tmp_path / "queued"
    options.write_text(
        f"host={address}\nport={port}\nstarttls\nx509cafile={lab.ca_file}\nuser={alice.name}\npass={alice.password}\n"
    )
    queued.write_text(f"{alice.address}\n{alice.address}\n\nSubject: {token}\nFrom: {alice.address}\n\nby nullmailer\n")
    said = await output_of(
        "/bin/sh", "-c", 'exec "$0" <"$1" 3<"$2"', f"{NULLMAILER}/smtp", str(options), str(queued),
        environment={"HELOHOST": "client.example.com"},
    )  # fmt: skip
    assert "250 2.0.0 Ok: queued as" in said
    assert b"by nullmailer" in await lab.arrived(alice, token, Transcript())


# --- the sendmail command ----------------------------------------------------------------------------------------------


@pytest.fixture
def sendmail(place: Path) -> Path:
    """A sendmail of a host where no daemon runs; what is handed over waits in the maildrop."""
    (place / "main.cf").write_text(f"queue_directory = {place}/queue\nmyhostname = client.example.com\n")
    program = place / "sendmail"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} MAIL_CONFIG={place} exec {" ".join(HARDMAIL)} sendmail "$@"\n')
    program.chmod(0o755)
    return program


def dropped(program: Path) -> Drop:
    """The one mail that was handed over."""
    [path] = maildrop.waiting(program.parent / "queue")
    return maildrop.read(path).drop


HEADER = b"To: root@example.org\nSubject: x\n\n"
CALLS = {
    "cron": (["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"], b"From: root (Cron Daemon)\n" + HEADER),
    "at": (["-i", "root"], HEADER),
    "php": (["-t", "-i"], HEADER),
    "php with a sender": (["-t", "-i", "-fwww@example.org"], HEADER),
    "mutt": (["-oem", "-oi", "-f", "me@example.org", "--", "root@example.org"], HEADER),
    "mailx": (["-i", "root@example.org"], HEADER),
    "smartd, logwatch": (["-oi", "-t"], HEADER),
    "mdadm": (["-t"], HEADER),
    "emacs": (["-oi", "-f", "me@example.org", "-odi", "-t"], HEADER),
    "mailman": (["-oi", "-om", "-fme@example.org", "root@example.org"], HEADER),
    "perl": (["-t", "-oi", "-oem"], HEADER),
    "wordpress": (["-t", "-i", "-f me@example.org"], HEADER),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_many_programs(sendmail: Path, name: str) -> None:
    arguments, letter = CALLS[name]
    body = b"first\n.\n..second\n" if set(arguments) & {"-i", "-oi"} else b"first\n"
    done = subprocess.run([sendmail, *arguments], input=letter + body, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    drop = dropped(sendmail)
    assert [address.partition("@")[0] for address in drop.recipients] == ["root"]
    assert message_from_bytes(drop.content).get_payload(decode=True) == body.replace(b"\n", b"\r\n")
    given = [word for word in arguments if word.startswith("-f")]
    if given:
        assert drop.sender in ("me@example.org", "www@example.org")
    assert drop.body == ("8BITMIME" if name == "cron" else "")


@pytest.mark.needs("git", "git")
@pytest.mark.needs("git-send-email", "git-email", "/usr/lib/git-core")
def test_git_send_email(sendmail: Path, place: Path) -> None:
    environment = {
        "HOME": str(place), "PATH": "/usr/bin:/bin", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(place), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    git("init", "--quiet")
    (place / "file").write_text("äöü\n")
    git("add", "file")
    git("commit", "--quiet", "-m", "Grüße")
    [patch] = git("format-patch", "-1").split()
    said = git(
        "send-email", f"--sendmail-cmd={sendmail}", "--to=list@example.org", "--cc=B <b@example.org>", "--confirm=never",
        "--suppress-cc=all", "--envelope-sender=bounce@example.org", str(place / patch),
    )  # fmt: skip
    assert "Result: OK" in said, said
    drop = dropped(sendmail)
    assert drop.sender == "bounce@example.org"
    assert sorted(drop.recipients) == ["b@example.org", "list@example.org"]
    assert "+äöü".encode() in drop.content


def test_it_says_what_it_cannot_do(sendmail: Path) -> None:
    done = subprocess.run([sendmail, "-t"], input=b"Subject: x\n\n", capture_output=True, timeout=30, check=False)
    assert done.returncode != 0
    assert b"No recipient addresses found in message header" in done.stderr
