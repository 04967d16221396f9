"""The running class as the steps of a check see it: the lab of the behaviours, with the student's own names."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lab.behaviours.base import ProbeFailed
from lab.behaviours.stack import STRANGER, Lab, User
from lab.programs import Program
from lab.wire import SMTP, Reply, Transcript
from tls.context import client_context
from tls.policy import Policy

# Mail within the class takes milliseconds, a retry two seconds; a mail that goes astray is given up after this.
ARRIVES_IN_SECONDS = 15.0
QUEUE_AFTER_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 0.05
PARTNER = STRANGER
# Programs of the source that Debian does not put on everybody's PATH.
PROGRAMS = (Program("smtptest", "cyrus-clients"), Program("imtest", "cyrus-clients"))


class Doors(NamedTuple):
    """A host: its name, and (service, address:port) pairs."""

    name: str
    ports: list[tuple[str, str]]


class Room(Lab):
    """A running class. Users are known by their roles: `user` and `colleague` on the mail host, `partner` elsewhere."""

    def __init__(self, info: Mapping[str, Any], names: Mapping[str, str]) -> None:
        super().__init__(info)
        self.names = names

    def user(self, name: str) -> User:
        """A mail user by role."""
        return super().user(self.names[name])

    def users(self, instances: Sequence[str] = ()) -> list[User]:
        """The users of these hosts, or all, those of the mail host first."""
        domains = {self._info["instances"][name]["domain"] for name in instances or self._info["instances"]}
        return [user for user in self._users.values() if user.address.rpartition("@")[2] in domains]

    def described(self, instance: str) -> Doors:
        """The name and the ports of a host."""
        entry = self._info["instances"][instance]
        ports = [(service, f"{address}:{port}") for service, (address, port) in entry["endpoints"].items()]
        return Doors(entry["name"], ports)

    @property
    def facts(self) -> dict[str, object]:
        """What texts may name: domains, addresses of users, endpoints such as {mailhost_smtp}, the directory."""
        facts: dict[str, object] = {**self.names, "dir": self.directory}
        facts |= {program.name: program.path() or program.name for program in PROGRAMS}
        for instance, entry in self._info["instances"].items():
            facts[f"{instance}_name"] = entry["name"]
            facts[f"{instance}_certificate"] = entry["certificate_file"]
            facts[f"{instance}_key"] = entry["key_file"]
            for service, (address, port) in entry["endpoints"].items():
                facts[f"{instance}_{service}"] = f"{address}:{port}"
                facts[f"{instance}_{service}_port"] = port
        return facts

    # Mail

    def delivered(self, user: User, token: str) -> bytes | None:
        """The mail with this token in a user's Maildir, if it is there."""
        domain = user.address.rpartition("@")[2]
        hosts = [host for host in self._info["instances"].values() if "imap" in host["endpoints"]]
        root = next(host["mail_root"] for host in hosts if host["domain"] == domain)
        for place in ("new", "cur"):
            for path in Path(root, user.name, "Maildir", place).glob("*"):
                try:
                    data = path.read_bytes()
                except FileNotFoundError:  # a reader has just moved it
                    continue
                if token.encode() in data:
                    return data
        return None

    async def comes(self, user: User, token: str, evidence: Transcript, *, through: str = "mailhost") -> bytes:
        """The mail with this token once it is in the user's Maildir. Raises ProbeFailed with where it is instead.

        `through`: the host in whose queue it may be stuck.
        """
        start = time.monotonic()
        looked = False
        while (mail := self.delivered(user, token)) is None:
            waited = time.monotonic() - start
            if waited > ARRIVES_IN_SECONDS or looked:
                raise ProbeFailed(f"no mail with {token} in the mailbox of {user.address} after {waited:.0f} s")
            if waited > QUEUE_AFTER_SECONDS:
                reasons = [reason for entry in await self.queued(through) for reason in entry.reasons]
                if reasons:
                    raise ProbeFailed(f"the mail to {user.address} waits in the queue: {reasons[-1]}")
                looked = not await self.queued(through)  # it has gone somewhere else, or arrived meanwhile
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        evidence.note(f"{token} lies in the mailbox of {user.address}")
        return mail

    # Dialogues

    @property
    def any_certificate(self) -> ssl.SSLContext:
        """A client context that takes every certificate: for steps that are not about certificates."""
        return client_context(Policy(), verify="none")

    async def encrypted(self, wire: Transcript, *, source: str = PARTNER, endpoint: str = "mailhost.smtp") -> SMTP:
        """An SMTP session after STARTTLS and the second EHLO. Raises ProbeFailed."""
        smtp = await self.smtp(endpoint, wire, source=source)
        try:
            await smtp.ehlo(f"mail.{self.names['partner_domain']}")
            reply = await smtp.starttls(self.any_certificate)
            if reply.code != 220:
                raise ProbeFailed(f"STARTTLS: {reply}")
            await smtp.ehlo(f"mail.{self.names['partner_domain']}")
        except BaseException:
            await smtp.close()
            raise
        return smtp

    async def recipient(
        self,
        recipient: str,
        evidence: Transcript,
        *,
        sender: str | None = None,
        source: str = PARTNER,
        endpoint: str = "mailhost.smtp",
    ) -> Reply:
        """The reply to RCPT TO for a mail from `sender` (default: the partner); no mail is sent."""
        async with await self.smtp(endpoint, evidence, source=source) as smtp:
            await smtp.ehlo(f"mail.{self.names['partner_domain']}")
            return await self.envelope(smtp, recipient, sender)

    async def envelope(self, smtp: SMTP, recipient: str, sender: str | None = None) -> Reply:
        """MAIL FROM and RCPT TO on an open session: the reply that decides. The transaction is then given up."""
        reply = await smtp.command(f"MAIL FROM:<{self.user('partner').address if sender is None else sender}>")
        if reply.code == 250:
            reply = await smtp.command(f"RCPT TO:<{recipient}>")
        await smtp.command("RSET")
        return reply

    async def mail_to(self, user: User, wire: Transcript) -> str:
        """Have the partner send a mail to a user and wait for it; its token. Raises ProbeFailed."""
        token = self.token()
        reply = await self.send(user.address, token, wire)
        if reply.code != 250:
            raise ProbeFailed(f"{user.address}: {reply}")
        await self.comes(user, token, wire)
        return token

    async def send(
        self,
        recipient: str,
        token: str,
        evidence: Transcript,
        *,
        sender: str | None = None,
        source: str = PARTNER,
        endpoint: str = "mailhost.smtp",
    ) -> Reply:
        """Hand a mail in from `source`; the reply that ended the attempt."""
        sender = self.user("partner").address if sender is None else sender
        async with await self.smtp(endpoint, evidence, source=source) as smtp:
            await smtp.ehlo(f"mail.{self.names['partner_domain']}")
            return await smtp.send_message(sender, [recipient], f"From: {sender}\nSubject: {token}\n\nHello.\n")
