"""Real mail programs against the running stack: curl, swaks, smtptest, fetchmail, mutt."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.behaviours.stack import Lab
from lab.wire import Transcript

pytestmark = pytest.mark.interop

Peer = Callable[[str, str], str]
SECONDS = 60.0


async def output_of(*argv: str, stdin: str = "", environment: dict[str, str] | None = None) -> str:
    """Run a program; its output. Fails the test with that output if the program does."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate(stdin.encode())
    text = out.decode("utf-8", "replace")
    assert process.returncode == 0, f"{argv[0]} ends with {process.returncode}:\n{text}"
    return text


def curl(lab: Lab, peer: Peer, endpoint: str, scheme: str, *options: str, path: str = "") -> list[str]:
    """A curl command line that verifies the certificate of the mail host by its name."""
    alice, (address, port) = lab.user("alice"), lab.endpoint(endpoint)
    return [
        peer("curl", "curl"), "--silent", "--show-error", "--ssl-reqd", "--max-time", "30",
        "--cacert", str(lab.ca_file), "--resolve", f"{lab.name}:{port}:{address}",
        "--user", f"{alice.name}:{alice.password}", *options, f"{scheme}://{lab.name}:{port}/{path}",
    ]  # fmt: skip


async def delivered(lab: Lab, token: str, body: str = "") -> None:
    """A mail with this token stands in alice's mailbox."""
    async with await lab.smtp("mailhost.smtp", Transcript()) as smtp:
        await smtp.ehlo()
        reply = await smtp.send_message("friend@outside.example", [lab.user("alice").address], lab.message(token, body))
        assert reply.code == 250
    await lab.arrived(lab.user("alice"), token, Transcript())


@pytest.mark.parametrize(("endpoint", "scheme"), [("mailhost.submission", "smtp"), ("mailhost.submissions", "smtps")])
async def test_curl_sends(lab: Lab, peer: Peer, tmp_path: Path, endpoint: str, scheme: str) -> None:
    alice, token = lab.user("alice"), lab.token()
    mail = tmp_path / "mail"
    mail.write_text(lab.message(token, "sent by curl\n"))
    mails = ["--mail-from", alice.address, "--mail-rcpt", alice.address, "--upload-file", str(mail)]
    await output_of(*curl(lab, peer, endpoint, scheme, *mails))
    assert b"sent by curl" in await lab.arrived(alice, token, Transcript())


@pytest.mark.parametrize(("endpoint", "scheme"), [("mailhost.imap", "imap"), ("mailhost.imaps", "imaps")])
async def test_curl_reads_imap(lab: Lab, peer: Peer, endpoint: str, scheme: str) -> None:
    token = lab.token()
    await delivered(lab, token, "read by curl\n")
    found = await output_of(*curl(lab, peer, endpoint, scheme, "-X", f"UID SEARCH SUBJECT {token}", path="INBOX"))
    uid = found.split()[-1]
    assert "read by curl" in await output_of(*curl(lab, peer, endpoint, scheme, path=f"INBOX;UID={uid}"))


@pytest.mark.parametrize(("endpoint", "scheme"), [("mailhost.pop3", "pop3"), ("mailhost.pop3s", "pop3s")])
async def test_curl_reads_pop3(lab: Lab, peer: Peer, endpoint: str, scheme: str) -> None:
    token = lab.token()
    await delivered(lab, token, "fetched by curl\n")
    numbers = [line.split()[0] for line in (await output_of(*curl(lab, peer, endpoint, scheme))).splitlines()]
    mails = [await output_of(*curl(lab, peer, endpoint, scheme, path=number)) for number in numbers]
    assert any(token in mail and "fetched by curl" in mail for mail in mails)


async def test_swaks_with_starttls_and_auth(lab: Lab, peer: Peer) -> None:
    alice, token, (address, port) = lab.user("alice"), lab.token(), lab.endpoint("mailhost.submission")
    said = await output_of(
        peer("swaks", "swaks"), "--server", address, "--port", str(port), "--tls", "--tls-ca-path", str(lab.ca_file),
        "--auth", "PLAIN", "--auth-user", alice.name, "--auth-password", alice.password, "--auth-hide-password",
        "--from", alice.address, "--to", alice.address, "--header", f"Subject: {token}",
    )  # fmt: skip
    assert "TLS started" in said
    assert "235 2.7.0 Authentication successful" in said
    await lab.arrived(alice, token, Transcript())


async def test_smtptest_as_lab_12_2_calls_it(lab: Lab, peer: Peer) -> None:
    alice, (address, port) = lab.user("alice"), lab.endpoint("mailhost.smtp")
    program = peer("smtptest", "cyrus-clients")
    said = await output_of(
        program,
        "-t",
        "",
        "-p",
        str(port),
        "-a",
        alice.name,
        "-u",
        alice.name,
        "-w",
        alice.password,
        address,
        stdin="QUIT\r\n",
    )
    assert "TLS connection established" in said
    assert "Authenticated." in said


async def test_fetchmail(lab: Lab, peer: Peer, tmp_path: Path) -> None:
    alice, token, (address, port) = lab.user("alice"), lab.token(), lab.endpoint("mailhost.imaps")
    await delivered(lab, token, "fetched by fetchmail\n")
    fetched, control = tmp_path / "fetched", tmp_path / "fetchmailrc"
    control.write_text(
        f'poll {lab.name} via "{address}" with proto IMAP port {port} auth password\n'
        f'  user "{alice.name}" there with password "{alice.password}" is alex here\n'
        f'  options ssl sslcertck sslcertfile "{lab.ca_file}" sslcommonname "{lab.name}" fetchall keep no rewrite\n'
        f'  mda "/usr/bin/tee -a {fetched}"\n'
    )
    control.chmod(0o600)
    environment = {"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path)}
    await output_of(
        peer("fetchmail", "fetchmail"), "--fetchmailrc", str(control), "--nosyslog", environment=environment
    )
    assert token in fetched.read_text()
    assert "fetched by fetchmail" in fetched.read_text()


def muttrc(lab: Lab, tmp_path: Path) -> Path:
    """A configuration for mutt that knows alice, the lab's authority and nothing of the machine."""
    alice, (address, port) = lab.user("alice"), lab.endpoint("mailhost.submission")
    file = tmp_path / "muttrc"
    file.write_text(
        f'set smtp_url = "smtp://{alice.name}@{address}:{port}/"\nset smtp_pass = "{alice.password}"\n'
        f'set imap_user = "{alice.name}"\nset imap_pass = "{alice.password}"\n'
        f'set from = "{alice.address}"\nset certificate_file = "{lab.ca_file}"\n'
        "set ssl_force_tls = yes\nset copy = no\nset wait_key = no\n"
        "set confirmappend = no\nset confirmcreate = no\nset quit = yes\nset header_cache =\nset sleep_time = 0\n"
    )
    file.chmod(0o600)
    return file


async def test_mutt_sends(lab: Lab, peer: Peer, tmp_path: Path) -> None:
    alice, token = lab.user("alice"), lab.token()
    rc = str(muttrc(lab, tmp_path))
    environment = {"HOME": str(tmp_path), "TERM": "xterm"}
    await output_of(
        peer("mutt", "mutt"),
        "-n",
        "-F",
        rc,
        "-s",
        token,
        "--",
        alice.address,
        stdin="by mutt\n",
        environment=environment,
    )
    assert b"by mutt" in await lab.arrived(alice, token, Transcript())


async def test_mutt_reads(lab: Lab, peer: Peer, tmp_path: Path) -> None:
    token, (address, port) = lab.token(), lab.endpoint("mailhost.imaps")
    await delivered(lab, token, "read by mutt\n")
    saved = tmp_path / "saved"
    keys = f"<limit>~s {token}<enter><copy-message><kill-line>{saved}<enter><exit>"
    argv = [
        peer("mutt", "mutt"), "-n", "-F", str(muttrc(lab, tmp_path)), "-f", f"imaps://{address}:{port}/INBOX",
        "-e", f'push "{keys}"',
    ]  # fmt: skip
    await asyncio.to_thread(in_a_terminal, argv, {"HOME": str(tmp_path), "TERM": "xterm"})
    assert saved.exists(), "mutt saved nothing"
    assert re.search(rf"^Subject: {token}$", saved.read_text(), re.M)
    assert "read by mutt" in saved.read_text()


def in_a_terminal(argv: list[str], environment: dict[str, str]) -> None:
    """Run a full-screen program in a pseudo-terminal until it ends by itself; what it showed is in the failure."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(argv[0], argv, {**os.environ, **environment, "LINES": "40", "COLUMNS": "120"})
    shown, deadline = b"", time.monotonic() + SECONDS
    try:
        while select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            shown += os.read(terminal, 65536)
        os.kill(pid, signal.SIGKILL)
        pytest.fail(f"{argv[0]} does not end; it shows {shown[-1000:]!r}")
    except OSError:
        pass  # EIO: the program has closed its side
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
