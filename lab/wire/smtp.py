"""The SMTP probe: commands, replies, STARTTLS, AUTH PLAIN and a message (RFC 5321, RFC 3207, RFC 4954)."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from lab.wire.connection import Connection, WireError

REPLY_LINE = re.compile(r"([2-5][0-9]{2})(?:([ -])(.*)|\Z)", re.S)
ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
# A reply of more lines than this is not one that a probe asked for.
REPLY_LINES = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: its code and the text of its lines."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines, joined by a line feed."""
        return "\n".join(self.lines)

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code (RFC 3463), if the reply has one."""
        match = ENHANCED.match(self.lines[0])
        return match.group() if match else None

    def __str__(self) -> str:
        return f"{self.code} {self.lines[-1]}"


class SMTP(Connection):
    """An SMTP client that does only what it is told."""

    greeting: Reply
    keywords: dict[str, str]

    async def _opened(self) -> None:
        self.keywords = {}
        self.greeting = await self.reply()

    async def reply(self) -> Reply:
        """The next reply. Raises WireError if it is not SMTP."""
        lines: list[str] = []
        for _ in range(REPLY_LINES):
            line = await self.read_line()
            match = REPLY_LINE.match(line)
            if match is None:
                raise WireError(f"not an SMTP reply: {line[:80]!r}")
            lines.append(match.group(3) or "")
            if match.group(2) != "-":
                return Reply(int(match.group(1)), tuple(lines))
        raise WireError("a reply without end")

    async def command(self, line: str | bytes, *, shown: str | None = None) -> Reply:
        """Send one command and read its reply."""
        await self.send(line, shown=shown)
        return await self.reply()

    async def ehlo(self, name: str = "probe.example") -> dict[str, str]:
        """Say EHLO; the keywords that the server announces, upper case, with their arguments."""
        reply = await self.command(f"EHLO {name}")
        words = (line.partition(" ") for line in reply.lines[1:])
        self.keywords = {keyword.upper(): arguments for keyword, _, arguments in words}
        return self.keywords

    async def starttls(self, context: ssl.SSLContext, server_name: str | None = None) -> Reply:
        """STARTTLS and the handshake, if the server agrees. The session starts anew after it: say EHLO again."""
        reply = await self.command("STARTTLS")
        if reply.code == 220:
            await self.handshake(context, server_name)
        return reply

    async def auth_plain(self, user: str, password: str, authorization: str = "") -> Reply:
        """AUTH PLAIN with an initial response (RFC 4616)."""
        response = base64.b64encode(f"{authorization}\0{user}\0{password}".encode()).decode()
        return await self.command(f"AUTH PLAIN {response}", shown=f"AUTH PLAIN <{user} and the password>")

    async def send_message(self, sender: str, recipients: Sequence[str], message: str) -> Reply:
        """One mail transaction; the first reply that is no success, or the one to the end of data."""
        reply = await self.command(f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            if reply.code != 250:
                return reply
            reply = await self.command(f"RCPT TO:<{recipient}>")
        if reply.code != 250:
            return reply
        reply = await self.command("DATA")
        if reply.code != 354:
            return reply
        stuffed = re.sub(r"(?m)^\.", "..", message.replace("\r\n", "\n").rstrip("\n")).replace("\n", "\r\n")
        await self.send_raw(stuffed.encode() + b"\r\n.\r\n")
        return await self.reply()
