"""no-smuggling: one message stays one message, whatever line ends its text holds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Reply, Transcript, WireClosed

REPLIES = 8

# Ends of data that a tolerant parser takes for the real one (CVE-2023-51764 and its kind).
FALSE_ENDS = (
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r"),
    *(b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n. \r\n"),
)


async def smuggle(smtp: SMTP, end: bytes, sender: str, recipient: str) -> list[Reply]:
    """Send a message that hides a second one behind `end`; the replies to it, up to that to QUIT, or the refusal."""
    for command, code in ((f"MAIL FROM:<{sender}>", 250), (f"RCPT TO:<{recipient}>", 250), ("DATA", 354)):
        reply = await smtp.command(command)
        if reply.code != code:
            return [reply]
    hidden = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\nSubject: smuggled\r\n\r\n".encode()
    await smtp.send_raw(b"Subject: harmless\r\n\r\nbody" + end + hidden + b"\r\n.\r\n")
    replies = [await smtp.reply()]
    await smtp.send("QUIT")
    with contextlib.suppress(WireClosed):
        while replies[-1].code != 221 and len(replies) < REPLIES:
            replies.append(await smtp.reply())
    return replies


def smuggled(replies: Sequence[Reply]) -> bool:
    """Whether the server has seen two messages: something was said of the hidden envelope, or of its data."""
    return any(reply.code in (250, 354) for reply in replies[1:])


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """No false end of data makes a second message."""
    for end in FALSE_ENDS:
        async with await lab.smtp("mailhost.smtp", evidence) as smtp:
            await smtp.ehlo()
            replies = await smuggle(smtp, end, "friend@outside.example", lab.user("alice").address)
        said = " | ".join(map(str, replies))
        if smuggled(replies):
            return exposed(f"{end!r} ends the message: {said}")
        if replies[0].code != 250 and replies[0].code < 500:
            raise ProbeFailed(f"{end!r}: {said}")
    return hardened(f"{len(FALSE_ENDS)} false ends of data make no second message; the last: {said}")


BEHAVIOUR = Behaviour(
    slug="no-smuggling",
    title="No second mail hides inside a mail",
    source="the class of CVE-2023-51764",
    why="Two servers that disagree about where a mail ends can be made to take one mail for two, the second "
    "with a forged sender (CVE-2023-51764). Only CR LF . CR LF ends a mail.",
    configuration=(Change("mailhost/main.cf", "smtpd_forbid_bare_newline = "),),
    expectation="521 5.5.2 or 550, or one message that stays one message",
    probe=probe,
    twin=Twin((Change("mailhost/main.cf", "smtpd_forbid_bare_newline = no"),), "one message becomes two"),
)
