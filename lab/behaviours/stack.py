"""The running stack as probes see it: endpoints, users, mailboxes, queues, tools."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.behaviours.base import Change, ProbeFailed
from lab.behaviours.processes import (
    HARDMAIL,
    Daemon,
    Result,
    StackFailed,
    children,
    collect,
    end,
    run_to_end,
    running_daemon,
)
from lab.wire import IMAP, POP3, SMTP, Transcript
from tls.context import client_context
from tls.policy import Policy

# The address of the outside world: probes that play a stranger come from here.
STRANGER = "127.0.0.3"
# Mail within the lab takes milliseconds; a retry after a deferral takes a back-off of some seconds.
ARRIVES_IN_SECONDS = 20.0
# A condition that no event announces (mail that another process delivers) is looked at this often.
LOOK_AGAIN_SECONDS = 0.05
SILENT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class User:
    """A mail user of the lab. The password is made for this one instance."""

    name: str
    address: str
    password: str

    def __repr__(self) -> str:
        return f"User({self.name})"


@dataclass(frozen=True, slots=True)
class Queued:
    """A message in a queue, and why it is still there."""

    queue_id: str
    reasons: tuple[str, ...]


class Lab:
    """A running laboratory. `info` is what `hardmail up --json` prints."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._info = info
        self.directory = Path(info["directory"])
        self.ca_file = Path(info["ca_file"])
        self._users = {entry["name"]: User(**entry) for entry in info["users"]}
        self._copies = 0

    @classmethod
    @asynccontextmanager
    async def start(
        cls, instances: Sequence[str] = (), changes: Iterable[Change] = (), *, keep: bool = False
    ) -> AsyncIterator[Lab]:
        """Bring up these instances (all by default) in a temporary directory; take everything down at the end.

        Raises StackFailed with what the command said.
        """
        argv = [*HARDMAIL, "up", "--json"]
        for instance in dict.fromkeys(instances):
            argv += ["--instance", instance]
        for change in changes:
            argv += ["--set", f"{change.file}:{change.text}"]
        if keep:
            argv.append("--keep")
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        errors = asyncio.create_task(collect(process.stderr))
        try:
            line = await process.stdout.readline()
            if not line:
                raise StackFailed((await errors).strip() or f"hardmail up ends with {await process.wait()}")
            yield cls.of_json(line)
        finally:
            await end(process, errors)

    @classmethod
    def of_json(cls, line: str | bytes) -> Lab:
        """The laboratory that `hardmail up --json` has told of."""
        return cls(json.loads(line))

    @property
    def info(self) -> Mapping[str, Any]:
        """What `hardmail up --json` prints."""
        return self._info

    # Where things are

    def endpoint(self, name: str) -> tuple[str, int]:
        """Address and port of an endpoint such as `mailhost.imaps`."""
        instance, _, service = name.partition(".")
        address, port = self._info["instances"][instance]["endpoints"][service]
        return address, port

    def address(self, name: str) -> str:
        """The address of an endpoint."""
        return self.endpoint(name)[0]

    def port(self, name: str) -> int:
        """The port of an endpoint."""
        return self.endpoint(name)[1]

    def where(self, name: str) -> str:
        """The endpoint as people write it."""
        return "{}:{}".format(*self.endpoint(name))

    def user(self, name: str) -> User:
        """A mail user of the mail host."""
        return self._users[name]

    @property
    def name(self) -> str:
        """The host name of the mail host, which its certificate proves."""
        return str(self._info["instances"]["mailhost"]["name"])

    @property
    def domain(self) -> str:
        """The domain of the mail users."""
        return str(self._info["domain"])

    @property
    def smarthost(self) -> str:
        """The null client's relayhost, as main.cf has it."""
        return f"[{self.name}]:{self.port('mailhost.submission')}"

    @property
    def trust(self) -> ssl.SSLContext:
        """A client context that trusts the lab's authority and nobody else."""
        return client_context(Policy(), ca_file=self.ca_file, verify="name")

    def confdir(self, instance: str) -> Path:
        """The configuration directory of an instance."""
        return Path(self._info["instances"][instance]["confdir"])

    def queue_directory(self, instance: str) -> Path:
        """The queue directory of an instance."""
        return Path(self._info["instances"][instance]["queue_directory"])

    def certificate(self, instance: str) -> tuple[Path, Path]:
        """Certificate and key file of an instance."""
        entry = self._info["instances"][instance]
        return Path(entry["certificate_file"]), Path(entry["key_file"])

    def maildir(self, user: str) -> Path:
        """Where a user's mail lies on the mail host."""
        return Path(self._info["instances"]["mailhost"]["mail_root"], user, "Maildir")

    # Clients

    async def smtp_at(self, address: str, port: int, evidence: Transcript) -> SMTP:
        """An SMTP probe to an address that is no endpoint of the lab. Raises Refused."""
        return await SMTP.open(address, port, transcript=evidence)

    async def smtp(self, name: str, evidence: Transcript, *, source: str = STRANGER, tls: bool = False) -> SMTP:
        """An SMTP probe that comes from `source`."""
        return await SMTP.open(*self.endpoint(name), transcript=evidence, **self._how(name, source, tls))

    async def imap(self, name: str, evidence: Transcript, *, source: str = STRANGER, tls: bool = False) -> IMAP:
        """An IMAP probe that comes from `source`."""
        return await IMAP.open(*self.endpoint(name), transcript=evidence, **self._how(name, source, tls))

    async def pop3(self, name: str, evidence: Transcript, *, source: str = STRANGER, tls: bool = False) -> POP3:
        """A POP3 probe that comes from `source`."""
        return await POP3.open(*self.endpoint(name), transcript=evidence, **self._how(name, source, tls))

    def _how(self, endpoint: str, source: str, tls: bool) -> dict[str, Any]:
        proved = self._info["instances"][endpoint.partition(".")[0]]["name"]
        return {"source": source, "tls": self.trust if tls else None, "server_name": proved}

    async def smtp_logged_in(self, user: User, evidence: Transcript, *, source: str = STRANGER) -> SMTP:
        """An SMTP probe to the mail host that has started TLS and logged in. Raises ProbeFailed."""
        smtp = await self.smtp("mailhost.smtp", evidence, source=source)
        try:
            await smtp.ehlo()
            await smtp.starttls(self.trust, self.name)
            await smtp.ehlo()
            if (reply := await smtp.auth_plain(user.name, user.password)).code != 235:
                raise ProbeFailed(f"{user.name} cannot log in: {reply}")
        except BaseException:
            await smtp.close()
            raise
        return smtp

    async def says_nothing_in_the_clear(self, name: str, evidence: Transcript) -> bool:
        """Whether the server at a TLS port waits for the client's handshake without a greeting."""
        address, port = self.endpoint(name)
        evidence.note(f"connect {address}:{port} without TLS and wait for a greeting")
        reader, writer = await asyncio.open_connection(address, port)
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                return not await reader.read(1)
        except TimeoutError:
            return True
        finally:
            writer.close()
            await writer.wait_closed()

    # Mail

    @staticmethod
    def token() -> str:
        """A word that no other mail has."""
        return "hardmail-" + secrets.token_hex(8)

    @staticmethod
    def message(token: str, body: str = "A probe.\n") -> str:
        """A mail that can be found again by its token."""
        return f"From: friend@outside.example\nSubject: {token}\n\n{body}"

    async def arrived(self, user: User, token: str, evidence: Transcript) -> bytes:
        """The mail with this token, read over IMAPS as soon as it is there. Raises ProbeFailed."""
        deadline = time.monotonic() + ARRIVES_IN_SECONDS
        async with await self._mailbox(user) as imap:
            while time.monotonic() < deadline:
                imap.transcript.lines.clear()  # looking again is no evidence; what was found is
                found = await imap.command(f"UID SEARCH SUBJECT {token}")
                uids = b" ".join(line[9:] for line in found.untagged if line.startswith(b"* SEARCH "))
                if uids:
                    response = await imap.command(f"UID FETCH {uids.split()[-1].decode()} BODY.PEEK[]")
                    evidence.note(f"{token} stands in {user.name}'s mailbox")
                    return response.untagged[0].partition(b"\r\n")[2]
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        raise ProbeFailed(f"no mail with {token} in {user.name}'s mailbox after {ARRIVES_IN_SECONDS:.0f} s")

    async def counted(
        self, user: User, tokens: Sequence[str], *, seconds: float = ARRIVES_IN_SECONDS
    ) -> dict[str, int]:
        """How often each token stands in the mailbox, once all are there or the time is up."""
        deadline = time.monotonic() + seconds
        async with await self._mailbox(user) as imap:
            while True:
                imap.transcript.lines.clear()
                response = await imap.command("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
                subjects = re.findall(r"hardmail-[0-9a-f]{16}", b"".join(response.untagged).decode("ascii", "replace"))
                counts = {token: subjects.count(token) for token in tokens}
                if all(counts.values()) or time.monotonic() > deadline:
                    return counts
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _mailbox(self, user: User) -> IMAP:
        door = next(f"{name}.imaps" for name, i in self._info["instances"].items() if self._serves(i, user))
        imap = await self.imap(door, Transcript(), tls=True)
        for response in (await imap.login(user.name, user.password), await imap.command("SELECT INBOX")):
            if response.status != "OK":
                await imap.close()
                raise ProbeFailed(f"{user.name} cannot read mail: {response}")
        return imap

    @staticmethod
    def _serves(instance: Mapping[str, Any], user: User) -> bool:
        return "imaps" in instance["endpoints"] and user.address.endswith("@" + instance["domain"])

    # Queues and tools

    async def hardmail(self, *argv: str, stdin: str = "") -> Result:
        """Run a hardmail command to its end."""
        return await self.python("lab", *argv, stdin=stdin)

    async def python(self, module: str, *argv: str, stdin: str = "") -> Result:
        """Run a module of this installation as a program."""
        return await run_to_end([sys.executable, "-m", module, *argv], stdin)

    async def sendmail(self, instance: str | Path, *argv: str, message: str) -> Result:
        """Run sendmail for an instance or a configuration directory."""
        return await self.hardmail("sendmail", "-C", str(self._conf(instance)), *argv, stdin=message)

    async def queued(self, instance: str | Path) -> list[Queued]:
        """What `postqueue -j` shows. Raises StackFailed."""
        result = await self.hardmail("postqueue", "-c", str(self._conf(instance)), "-j")
        if result.status:
            raise StackFailed(f"postqueue -j ends with {result.status}: {result.errors.strip()}")
        entries = map(json.loads, result.output.splitlines())
        return [
            Queued(e["queue_id"], tuple(r["delay_reason"] for r in e["recipients"] if "delay_reason" in r))
            for e in entries
        ]

    async def emptied(self, instance: str) -> None:
        """Return once the queue of an instance is empty. Raises ProbeFailed."""
        deadline = time.monotonic() + ARRIVES_IN_SECONDS
        while left := await self.queued(instance):
            if time.monotonic() > deadline:
                raise ProbeFailed(f"still queued: {left}")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def deferred_or_gone(self, instance: str) -> Queued | None:
        """The first message of the queue once its delivery was tried, or None once the queue is empty."""
        deadline = time.monotonic() + ARRIVES_IN_SECONDS
        while time.monotonic() < deadline:
            entries = await self.queued(instance)
            if not entries:
                return None
            if entries[0].reasons:
                return entries[0]
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        raise ProbeFailed(f"no delivery was tried within {ARRIVES_IN_SECONDS:.0f} s")

    def _conf(self, instance: str | Path) -> Path:
        return instance if isinstance(instance, Path) else self.confdir(instance)

    # More daemons

    def copy_of(self, instance: str, listeners: str, *, main: str = "") -> Path:
        """A copy of an instance's configuration: a queue of its own, these smtpd lines, and `main` ends its main.cf."""
        self._copies += 1
        place = self.directory / "copies" / str(self._copies)
        confdir = place / "conf"
        shutil.copytree(self.confdir(instance), confdir)
        master = (confdir / "master.cf").read_text()
        # Everything but the inet services, with their continuation lines, stays.
        rest = re.sub(r"(?m)^\S+[ \t]+inet[ \t].*\n(?:[ \t]+.*\n)*", "", master)
        (confdir / "master.cf").write_text(listeners + rest)
        with (confdir / "main.cf").open("a") as file:
            file.write(f"\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n{main}\n")
        place.chmod(0o755)
        place.parent.chmod(0o755)
        return confdir

    @staticmethod
    def free_port() -> int:
        """A port that is free now on every IPv4 address, since some configurations listen on all of them."""
        with socket.socket() as sock:
            sock.bind(("", 0))
            port: int = sock.getsockname()[1]
        return port

    @asynccontextmanager
    async def daemon(self, confdir: Path, evidence: Transcript) -> AsyncIterator[Daemon]:
        """`hardmail run -c CONFDIR` until the end of the block. Raises StackFailed."""
        async with running_daemon(confdir) as daemon:
            evidence.note(f"hardmail run: process {daemon.pid} is ready")
            yield daemon

    def service_processes(self) -> dict[int, str]:
        """Process id and name of every service of this laboratory (not of its supervisor)."""
        return dict.fromkeys(children(int(self._info["pid"])), "service")
