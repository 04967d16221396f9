"""no-starttls-injection: commands sent in the clear behind STARTTLS are not executed inside TLS."""

from __future__ import annotations

import ssl

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Connection, Refused, Transcript, WireClosed, WireTimeout


async def injected(
    client: Connection, start: bytes, attack: bytes, question: bytes, context: ssl.SSLContext, name: str
) -> tuple[str, str | None]:
    """Send `start` and `attack` in one packet, shake hands, then ask `question`; the answer to start, and the next."""
    await client.send_raw(start + b"\r\n" + attack + b"\r\n")
    agreed = await client.read_line()
    try:
        await client.handshake(context, name)
        await client.send(question)
        return agreed, await client.read_line()
    except (Refused, WireClosed, WireTimeout):
        return agreed, None


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The answer after the handshake is the one to the question asked inside TLS, or that to the injected command."""
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        # 250 would be the injected NOOP; the question inside TLS is answered 5xx.
        _, smtp_answer = await injected(smtp, b"STARTTLS", b"NOOP", b"BOGUS", lab.trust, lab.name)
    async with await lab.imap("mailhost.imap", evidence) as imap:
        _, imap_answer = await injected(imap, b"t1 STARTTLS", b"evil NOOP", b"good NOOP", lab.trust, lab.name)
    async with await lab.pop3("mailhost.pop3", evidence) as pop3:
        _, pop3_answer = await injected(pop3, b"STLS", b"CAPA", b"BOGUS", lab.trust, lab.name)
    answers = (smtp_answer, imap_answer, pop3_answer)
    said = f"SMTP {smtp_answer!r}, IMAP {imap_answer!r}, POP3 {pop3_answer!r}"
    if (
        (smtp_answer or "").startswith("250")
        or (imap_answer or "").startswith("evil")
        or (pop3_answer or "").startswith("+OK")
    ):
        return exposed(f"an injected command is answered inside TLS: {said}")
    if not all(answer is None or answer.startswith(("500", "502", "good", "-ERR")) for answer in answers):
        raise ProbeFailed(said)
    return hardened(f"injected commands are dropped, or end the connection (None): {said}")


BEHAVIOUR = Behaviour(
    slug="no-starttls-injection",
    title="Nothing said before TLS counts inside TLS",
    source="the class of CVE-2011-0411",
    why="Commands that an attacker puts behind STARTTLS in plain text would be carried out as if they had "
    "come inside TLS (CVE-2011-0411). Whatever was received before the handshake is thrown away.",
    configuration=(),
    expectation="plain text pipelined behind STARTTLS or STLS is discarded",
    probe=probe,
    twin=Twin(
        (
            Change("mailhost/main.cf", "hardmail_starttls_injection = yes"),
            Change("mailhost/dovecot.conf", "hardmail_starttls_injection = yes"),
        ),
        "the injected command is executed inside TLS",
    ),
)
