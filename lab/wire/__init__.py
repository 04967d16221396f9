"""Probe clients for SMTP, IMAP and POP3 that keep a transcript of every line that crossed the wire.

They are deliberately plain: a probe says exactly which bytes it sends and sees exactly which lines come back.
Secrets are replaced before they reach the transcript.

    transcript = Transcript()
    async with await SMTP.open("127.0.0.2", 2525, source="127.0.0.3", transcript=transcript) as smtp:
        await smtp.ehlo()
        reply = await smtp.command("MAIL FROM:<stranger@outside.example>")
    print(transcript)
"""

from lab.wire.connection import Connection, Refused, WireClosed, WireError, WireTimeout
from lab.wire.imap import IMAP, Response
from lab.wire.pop3 import POP3
from lab.wire.smtp import SMTP, Reply
from lab.wire.tap import Tap
from lab.wire.transcript import Line, Transcript

__all__ = [
    "IMAP",
    "POP3",
    "SMTP",
    "Connection",
    "Line",
    "Refused",
    "Reply",
    "Response",
    "Tap",
    "Transcript",
    "WireClosed",
    "WireError",
    "WireTimeout",
]
