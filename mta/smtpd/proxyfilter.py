"""smtpd_proxy_filter: a content filter that speaks SMTP and answers before the client does get its reply.

The mail is taken from the client in full and then given to the filter (smtpd_proxy_options = speed_adjust is what
happens always), so a slow client holds no filter. The filter's reply to the content is the client's reply: nothing is
queued here, the filter passes the mail on to a second smtpd (SMTPD_PROXY_README).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.queue import Notify, Recipient
from mta.smtpd.arguments import is_digits
from mta.smtpd.replies import Reply

log = logging.getLogger("postfix.smtpd")

LINE_LIMIT: Final = 4096
"""Octets of one line of a filter's reply."""
LINES_LIMIT: Final = 100
"""Lines of one reply."""
FAILED: Final = Reply(451, "4.3.0", "Error: queue file write error")


class _Broken(Exception):
    """The filter cannot be talked to; the text is for the log."""


class _Refused(Exception):
    """The filter refuses with a reply of its own."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the filter is told beside the content; addresses in external form."""

    sender: str
    recipients: Sequence[Recipient]
    body: str = ""
    smtputf8: bool = False
    forward: Sequence[tuple[str, str]] = ()
    """XFORWARD attributes, values not yet encoded."""


@dataclass(frozen=True, slots=True)
class ProxyFilter:
    """Where the filter is."""

    endpoint: tuple[str, ...]
    title: str
    ehlo_name: str
    timeout: float

    @classmethod
    def from_config(cls, config: MainConfig) -> ProxyFilter | None:
        """None where no filter is configured; raises ConfigErrors for a bad address."""
        text = config.str("smtpd_proxy_filter")
        if not text:
            return None
        kind, _, rest = text.partition(":")
        endpoint: tuple[str, ...]
        if kind == "unix" and rest:
            endpoint = ("unix", str(Path(config.str("queue_directory")) / rest))
        else:
            host, _, port = (rest if kind == "inet" else text).rpartition(":")
            if not is_digits(port, 5):
                where = config.where("smtpd_proxy_filter")
                raise ConfigErrors([ConfigError(where, f"smtpd_proxy_filter: bad address: {text}")])
            endpoint = ("inet", host.strip("[]") or "127.0.0.1", port)
        return cls(endpoint, text, config.str("smtpd_proxy_ehlo"), config.seconds("smtpd_proxy_timeout"))

    async def pass_on(self, envelope: Envelope, content: bytes) -> Reply:
        """Give the mail to the filter; its verdict, or a temporary failure when it cannot be reached."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self.timeout):
                reader, writer = await self._connect()
                dialogue = _Dialogue(reader, writer)
                reply = await dialogue.deliver(self.ehlo_name, envelope, content)
                writer.write(b"QUIT\r\n")
                return reply
        except _Refused as refusal:
            return refusal.reply
        except (OSError, TimeoutError, _Broken, asyncio.IncompleteReadError) as error:
            log.warning("proxy %s: %s", self.title, str(error) or "time limit exceeded")
            return FAILED
        finally:
            if writer is not None:
                writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.endpoint[0] == "unix":
            return await asyncio.open_unix_connection(self.endpoint[1], limit=LINE_LIMIT)
        return await asyncio.open_connection(self.endpoint[1], int(self.endpoint[2]), limit=LINE_LIMIT)


class _Dialogue:
    """The client's side of SMTP, as little of it as a filter needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def deliver(self, ehlo_name: str, envelope: Envelope, content: bytes) -> Reply:
        await self._expect(2)
        keywords = (await self._command(f"EHLO {ehlo_name}", 2)).text.upper().split("\n")
        await self._forward(keywords, envelope.forward)
        options = [f" BODY={envelope.body}"] if envelope.body and "8BITMIME" in keywords else []
        if envelope.smtputf8 and "SMTPUTF8" in keywords:
            options.append(" SMTPUTF8")
        await self._command(f"MAIL FROM:<{envelope.sender}>{''.join(options)}", 2)
        for recipient in envelope.recipients:
            wish = (
                f" NOTIFY={recipient.notify.wire()}" if recipient.notify != Notify.DEFAULT and "DSN" in keywords else ""
            )
            await self._command(f"RCPT TO:<{recipient.address}>{wish}", 2)
        await self._command("DATA", 3)
        stuffed = content.replace(b"\n.", b"\n..")
        self._writer.write((b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n")
        await self._writer.drain()
        return await self._reply()

    async def _forward(self, keywords: Sequence[str], attributes: Sequence[tuple[str, str]]) -> None:
        """XFORWARD, the attributes that the filter announces."""
        known = next((line.split()[1:] for line in keywords if line.startswith("XFORWARD ")), [])
        words = [f"{name}={xtext(value)}" for name, value in attributes if name in known]
        if words:
            await self._command("XFORWARD " + " ".join(words), 2)

    async def _command(self, line: str, wanted: int) -> Reply:
        self._writer.write(line.encode("utf-8", "surrogateescape") + b"\r\n")
        await self._writer.drain()
        return await self._expect(wanted)

    async def _expect(self, wanted: int) -> Reply:
        reply = await self._reply()
        if reply.code // 100 == wanted:
            return reply
        if reply.code >= 400:
            raise _Refused(reply)
        raise _Broken(f"unexpected reply: {reply}")

    async def _reply(self) -> Reply:
        """One reply; lines joined by a line feed, the enhanced code left in the text as it came."""
        lines = []
        for _ in range(LINES_LIMIT):
            try:
                line = (await self._reader.readuntil(b"\n")).decode("utf-8", "surrogateescape").rstrip("\r\n")
            except asyncio.LimitOverrunError:
                raise _Broken("reply line too long") from None
            if not is_digits(line[:3], 3) or line[3:4] not in ("", " ", "-"):
                raise _Broken("malformed reply")
            lines.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), "", "\n".join(lines))
        raise _Broken("too many lines in a reply")


def xtext(value: str) -> str:
    """RFC 3461 section 4: what is not printable ASCII, and `+` and `=`, as +XX."""
    octets = value.encode("utf-8", "surrogateescape")
    return "".join(chr(o) if 33 <= o <= 126 and o not in b"+=" else f"+{o:02X}" for o in octets)
