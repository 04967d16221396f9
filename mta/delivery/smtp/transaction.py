"""One mail transaction: MAIL, RCPT, DATA, and what each recipient got for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mta.delivery.result import Action, Dsn
from mta.delivery.smtp.content import dot_stuffed, folded
from mta.delivery.smtp.downgrade import downgraded
from mta.delivery.smtp.envelope import forward_commands, mail_command, needs_smtputf8, rcpt_command
from mta.delivery.smtp.protocol import BadReply, Disconnected, TimedOut
from mta.delivery.smtp.reply import Reply
from mta.delivery.smtp.session import MessageFailure, Session, SiteFailure
from mta.queue.message import QueuedMessage, QueuedRecipient

CHUNK: Final = 256 * 1024
"""Octets written before waiting for the peer to take them."""

_STAGES: Final = {
    "XFORWARD": ("sending XFORWARD command", "XFORWARD command"),
    "MAIL FROM": ("sending MAIL FROM", "MAIL FROM command"),
    "RCPT TO": ("sending RCPT TO", "RCPT TO command"),
    "DATA": ("sending DATA command", "DATA command"),
    "body": ("sending message body", "end of DATA command"),
    "dot": ("sending end of data -- message may be sent more than once", "end of DATA command"),
    "RSET": ("sending RSET", "RSET"),
}
"""Stage: what we were doing when the connection broke; what the reply was an answer to."""


@dataclass(slots=True)
class Letter:
    """What is sent: addresses after generic mapping, in the order of `recipients`."""

    message: QueuedMessage
    sender: str
    recipients: Sequence[QueuedRecipient]
    addresses: Sequence[str]
    content: bytes


@dataclass(slots=True)
class Fates:
    """How each recipient fared in one transaction, by its place in the letter."""

    sent: dict[int, Dsn] = field(default_factory=dict)
    failed: dict[int, Dsn] = field(default_factory=dict)


class Transaction:
    """Carries one letter over one session. `fates` holds what is settled, also when `run` raises."""

    def __init__(self, session: Session, letter: Letter) -> None:
        self._session = session
        self._letter = letter
        self._timeouts = session.settings.timeouts
        self.fates = Fates()

    async def run(self) -> None:
        """Send the letter. Raises SiteFailure or MessageFailure: recipients without a fate share that one."""
        session, letter = self._session, self._letter
        if needs_smtputf8(letter.message, list(letter.addresses), letter.content) and not session.offers("SMTPUTF8"):
            text = f"SMTPUTF8 is required, but was not offered by host {session.peer.name}"
            raise MessageFailure(Dsn("5.6.7", text))
        if session.size_limit and letter.message.size > session.size_limit:
            text = f"message size {letter.message.size} exceeds size limit {session.size_limit} of server"
            raise MessageFailure(Dsn("5.3.4", f"{text} {session.peer.name}"))
        if session.needs_reset:
            await self._reset()
        session.needs_reset = True  # until the final reply has come
        accepted = await (self._envelope_at_once() if session.offers("PIPELINING") else self._envelope_by_steps())
        if not accepted or letter.message.is_probe:
            return
        await self._send_content(accepted)
        session.needs_reset = False

    async def _reset(self) -> None:
        self._send(["RSET"], "RSET")
        reply = await self._reply("RSET", self._timeouts.rset)
        if not reply.ok:
            session = self._session
            raise (
                self._lost(Disconnected(), "RSET")
                if reply.code == 421
                else session.failure(reply, self._said(reply, "RSET"))
            )
        self._session.needs_reset = False

    # --- the envelope ----------------------------------------------------------------------------------------------

    def _commands(self) -> tuple[str, list[str]]:
        session, letter = self._session, self._letter
        mail = mail_command(session, letter.message, letter.sender, 0 if self._downgrades else letter.message.size)
        pairs = zip(letter.recipients, letter.addresses, strict=True)
        return mail, [rcpt_command(session, recipient, address) for recipient, address in pairs]

    async def _envelope_at_once(self) -> list[int]:
        """RFC 2920: all in one write. Every reply is read, whatever the first says; returns who was accepted."""
        mail, rcpts = self._commands()
        forwards = forward_commands(self._session, self._letter.message)
        probe = self._letter.message.is_probe
        self._send([*forwards, mail, *rcpts, *([] if probe else ["DATA"])], "MAIL FROM")
        for _ in forwards:
            await self._forwarded()
        mail_reply = await self._reply("MAIL FROM", self._timeouts.mail)
        replies = [await self._reply("RCPT TO", self._timeouts.rcpt) for _ in rcpts]
        accepted = self._judge_recipients(replies) if mail_reply.ok else []
        if probe:
            self._judge_mail(mail_reply)
            return accepted
        data_reply = await self._reply("DATA", self._timeouts.data_init)
        if data_reply.code == 354 and not accepted:
            # RFC 2920 section 3.1: the server waits for data although nobody gets it.
            self._send_octets(b".\r\n", 1, "dot")
            await self._reply("dot", self._timeouts.data_done)
            self._session.needs_reset = False
        self._judge_mail(mail_reply)
        if accepted:
            self._judge_data(data_reply)
        return accepted

    async def _envelope_by_steps(self) -> list[int]:
        mail, rcpts = self._commands()
        for forward in forward_commands(self._session, self._letter.message):
            self._send([forward], "XFORWARD")
            await self._forwarded()
        self._send([mail], "MAIL FROM")
        self._judge_mail(await self._reply("MAIL FROM", self._timeouts.mail))
        replies = []
        for rcpt in rcpts:
            self._send([rcpt], "RCPT TO")
            replies.append(await self._reply("RCPT TO", self._timeouts.rcpt))
        accepted = self._judge_recipients(replies)
        if accepted and not self._letter.message.is_probe:
            self._send(["DATA"], "DATA")
            self._judge_data(await self._reply("DATA", self._timeouts.data_init))
        return accepted

    async def _forwarded(self) -> None:
        """Only information was lost if the server does not like it."""
        reply = await self._reply("XFORWARD", self._timeouts.mail)
        if not reply.ok:
            self._session.logger.warning("%s", self._said(reply, "XFORWARD"))

    def _judge_mail(self, reply: Reply) -> None:
        if not reply.ok:
            raise self._refused(reply, "MAIL FROM")

    def _judge_recipients(self, replies: Sequence[Reply]) -> list[int]:
        accepted = []
        for number, reply in enumerate(replies):
            if reply.ok:
                accepted.append(number)
                if self._letter.message.is_probe:
                    host = self._session.peer.host
                    self.fates.sent[number] = Dsn(reply.status, reply.text, "dns", host, "smtp", reply.text)
            else:
                self.fates.failed[number] = self._dsn(reply, "RCPT TO")
        return accepted

    def _judge_data(self, reply: Reply) -> None:
        if reply.code // 100 != 3:
            raise self._refused(reply, "DATA")

    @property
    def _downgrades(self) -> bool:
        """8-bit content would have to be converted; its size is not known before (RFC 6152 section 3)."""
        return not self._session.offers("8BITMIME") and self._letter.message.body != "7BIT"

    # --- the content -----------------------------------------------------------------------------------------------

    async def _send_content(self, accepted: Sequence[int]) -> None:
        session = self._session
        content = downgraded(self._letter.content) if self._downgrades else self._letter.content
        short = folded(content, session.settings.line_length_limit)
        if short is not content:
            limit = session.settings.line_length_limit
            session.logger.info("%s: breaking line > %d bytes with <CR><LF>SPACE", self._letter.message.queue_id, limit)
        octets = dot_stuffed(short)
        count = len(accepted) if session.settings.lmtp else 1
        for start in range(0, len(octets), CHUNK):
            # The replies are owed from the first octet on: a refusal may come before the last.
            self._send_octets(octets[start : start + CHUNK], 0 if start else count, "body")
            await self._drain()
        if session.settings.lmtp:
            for number in accepted:
                self._judge_end(await self._reply("dot", self._timeouts.data_done), number)
            return
        reply = await self._reply("dot", self._timeouts.data_done)
        if not reply.ok:
            session.needs_reset = False  # a refused message ends its transaction all the same
            raise self._refused(reply, "dot")
        for number in accepted:
            self._judge_end(reply, number)

    def _judge_end(self, reply: Reply, number: int) -> None:
        if reply.ok:
            session = self._session
            # Another mail system has it now, unless master.cf or lmtp_assume_final says otherwise (smtp_rcpt_done).
            assumed = session.settings.assume_final and not session.offers("DSN")
            final = assumed or "X" in session.settings.flags
            action = Action.DELIVERED if final else Action.RELAYED
            delegated = not final and session.offers("DSN")
            text = reply.text
            self.fates.sent[number] = Dsn(reply.status, text, "dns", session.peer.host, "smtp", text, action, delegated)
        else:
            self.fates.failed[number] = self._dsn(reply, "dot")

    # --- the wire --------------------------------------------------------------------------------------------------

    def _send(self, commands: Sequence[str], stage: str) -> None:
        try:
            self._session.protocol.send([command.encode("utf-8", "surrogateescape") for command in commands])
        except Disconnected as error:
            raise self._lost(error, stage) from error
        except ValueError as error:
            raise MessageFailure(Dsn("5.1.3", "address holds a line end")) from error

    def _send_octets(self, octets: bytes, replies: int, stage: str) -> None:
        try:
            self._session.protocol.send_raw(octets, replies)
        except Disconnected as error:
            raise self._lost(error, stage) from error

    async def _drain(self) -> None:
        try:
            await self._session.protocol.drain(self._timeouts.data_xfer)
        except (Disconnected, TimedOut) as error:
            # A server may refuse in the middle and hang up: its word counts, not the broken connection.
            if not self._session.protocol.has_reply:
                raise self._lost(error, "body") from error

    async def _reply(self, stage: str, timeout: float) -> Reply:
        try:
            return await self._session.protocol.reply(timeout)
        except (Disconnected, TimedOut, BadReply) as error:
            raise self._lost(error, stage) from error

    def _lost(self, error: Exception, stage: str) -> SiteFailure:
        self._session.poisoned = True
        return self._session.lost(error, _STAGES[stage][0])

    def _said(self, reply: Reply, stage: str) -> str:
        return f"host {self._session.peer.name} said: {reply.text} (in reply to {_STAGES[stage][1]})"

    def _dsn(self, reply: Reply, stage: str) -> Dsn:
        # Replies that mean "I do not understand you" leave doubt about the state of the dialogue (smtp_trouble.c).
        if not 400 <= reply.code <= 599 or reply.code == 555 or 500 <= reply.code < 510:
            self._session.poisoned = True
        return reply.dsn(self._session.peer.host, self._said(reply, stage))

    def _refused(self, reply: Reply, stage: str) -> MessageFailure:
        return MessageFailure(self._dsn(reply, stage))
