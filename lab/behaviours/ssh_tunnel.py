"""ssh-tunnel: fetchmail reads mail through a tunnel of ssh, as the source says; the wire shows nothing."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.processes import run_to_end
from lab.behaviours.stack import Lab
from lab.programs import Program
from lab.wire import Tap, Transcript

FETCHMAIL, SSH = Program("fetchmail", "fetchmail"), Program("ssh", "openssh-client")
SSHD, KEYGEN = Program("sshd", "openssh-server"), Program("ssh-keygen", "openssh-client")

PLAIN = Change("mailhost/dovecot.conf", "disable_plaintext_auth = no\nssl = yes")
"""The mail server of the source speaks IMAP in the clear: the tunnel alone protects it."""

FETCHED_IN_SECONDS = 40.0


@asynccontextmanager
async def ssh_server(place: Path) -> AsyncIterator[int]:
    """A private sshd for the present user and one key; its port. Raises ProbeFailed."""
    port = Lab.free_port()
    for name in ("host", "user"):
        made = await run_to_end([str(KEYGEN.path()), "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], "")
        if made.status:
            raise ProbeFailed(f"ssh-keygen: {made.errors}")
    (place / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {place}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {place}/user.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    if os.geteuid() == 0:  # where sshd shuts its unprivileged half in; Debian makes it when the service starts
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(SSHD.path()), "-D", "-e", "-f", str(place / "sshd_config"), stdin=asyncio.subprocess.DEVNULL, stderr=pipe
    )
    assert process.stderr is not None
    said = b""
    while b"listening on" not in said:
        line = await process.stderr.readline()
        if not line:
            raise ProbeFailed(f"sshd does not start: {said.decode(errors='replace').strip()}")
        said += line
    errors = asyncio.create_task(process.stderr.read())
    try:
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        with contextlib.suppress(asyncio.CancelledError):
            await errors


SOURCE = """\
poll my-imap-mailserver.org via "localhost"
  with proto IMAP port 1236
      user "ref" there with password "hackmich" is alex here warnings 3600
    folders
      .Mail/debian
    preconnect 'ssh -f -P -C -L 1236:my-imap-mailserver.org:143 -l ref
     my-imap-mailserver.org sleep 15 </dev/null > /dev/null'
"""
"""As Securing Debian 5.6.3 prints it."""


def fetchmailrc(lab: Lab, place: Path, through: int, tunnel: int | None) -> str:
    """The source's fetchmailrc with our names and ports; without a `tunnel` port, as one would write it without ssh."""
    alice, (host, imap) = lab.user("alice"), lab.endpoint("mailhost.imap")
    options = f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={place}/known -o BatchMode=yes -i {place}/user"
    text = SOURCE if tunnel else SOURCE[: SOURCE.index("    preconnect")]
    for theirs, ours in (
        ("port 1236", f"port {tunnel or through}"),
        ('"ref" there with password "hackmich"', f'"{alice.name}" there with password "{alice.password}"'),
        (".Mail/debian", "INBOX"),
        # One line: fetchmail keeps a line break in quotes, and the shell would take it for the end of the command.
        ("-l ref\n     my-imap-mailserver.org", f"-l {getpass.getuser()} {options} -p {through} 127.0.0.1"),
        ("1236:my-imap-mailserver.org:143", f"{tunnel}:{host}:{imap}"),
    ):
        text = text.replace(theirs, ours)
    # Ours: the mail goes to a file; whatever TLS the server offers is not wanted here.
    return text + f"    options sslproto '' fetchall no rewrite mda \"/usr/bin/tee -a {place}/fetched\"\n"


async def fetched(control: str, place: Path) -> str:
    """Run fetchmail with this control file; the mail that it has fetched. Raises ProbeFailed."""
    file, mail = place / "fetchmailrc", place / "fetched"
    file.write_text(control)
    file.chmod(0o600)
    mail.unlink(missing_ok=True)
    argv = [str(FETCHMAIL.path()), "--fetchmailrc", str(file), "--nosyslog", "--pidfile", str(place / "pid")]
    # Into a file: the tunnel keeps its standard error open for as long as it lives.
    with (place / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(FETCHED_IN_SECONDS):
            status = await process.wait()
    if not mail.exists():
        raise ProbeFailed(f"fetchmail ends with {status}: {(place / 'log').read_text().strip()}")
    return mail.read_text()


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """alice's mail is fetched through ssh, and somebody listens; then without ssh, to know that he would have heard."""
    alice, heard = lab.user("alice"), {}
    for way in ("through ssh", "without ssh"):
        token = lab.token()
        async with await lab.smtp("mailhost.smtp", evidence) as smtp:
            await smtp.ehlo()
            await smtp.send_message("friend@outside.example", [alice.address], lab.message(token))
        await lab.arrived(alice, token, evidence)
        with tempfile.TemporaryDirectory(prefix="hardmail-") as name:
            place = Path(name)
            async with AsyncExitStack() as stack:
                target = lab.endpoint("mailhost.imap")
                if way == "through ssh":
                    target = ("127.0.0.1", await stack.enter_async_context(ssh_server(place)))
                tap = await stack.enter_async_context(Tap(target))
                tunnel = lab.free_port() if way == "through ssh" else None
                evidence.note(f"fetchmail fetches {way}, and somebody listens on the way")
                if token not in await fetched(fetchmailrc(lab, place, tap.port, tunnel), place):
                    raise ProbeFailed(f"the mail does not come {way}")
                heard[way] = tap.heard(alice.password) or tap.heard(token)
                what = "password or mail among them" if heard[way] else "nothing readable in them"
                evidence.note(f"{tap.octets} octets heard, {what}")
    if heard["through ssh"]:
        return exposed("password or mail can be read on the way through ssh")
    if not heard["without ssh"]:
        raise ProbeFailed("the listener hears nothing without ssh either")
    return hardened("fetched through ssh, nothing readable on the way; without ssh the listener reads all")


BEHAVIOUR = Behaviour(
    slug="ssh-tunnel",
    title="Mail is fetched through a tunnel of ssh",
    source="D 5.6.3 (fetchmailrc)",
    why="Where a mail server speaks IMAP in the clear, but its users have a shell there, ssh protects password and "
    "mail on the way: in fetchmailrc, preconnect 'ssh -f -P -C -L 1236:my-imap-mailserver.org:143 -l ref "
    "my-imap-mailserver.org sleep 15 </dev/null > /dev/null' opens the tunnel that `port 1236` then uses.",
    configuration=(PLAIN,),
    expectation="real fetchmail and real sshd fetch the mail; nothing of it can be read on the wire",
    probe=probe,
    given=(PLAIN,),
    shared=False,
    needs=(FETCHMAIL, SSH, SSHD, KEYGEN),
)
