"""early-talkers: a client that talks before it is spoken to is no mail server."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import without
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Reply, Transcript


async def at_once(greeting: str, smtp: SMTP, recipient: str) -> Reply:
    """The reply to RCPT TO of a client that says everything at once, its HELO or EHLO too."""
    await smtp.send_raw(f"{greeting}\r\nMAIL FROM:<friend@outside.example>\r\nRCPT TO:<{recipient}>\r\n".encode())
    for _ in range(2):
        reply = await smtp.reply()
        if reply.code != 250:
            return reply
    return await smtp.reply()


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """HELO and EHLO together with what follows; then pipelining as RFC 2920 allows it, after EHLO was answered."""
    alice = lab.user("alice").address
    for greeting in ("HELO host66.outside.example", "EHLO host66.outside.example"):
        async with await lab.smtp("mailhost.smtp", evidence) as smtp:
            reply = await at_once(greeting, smtp, alice)
        if reply.code == 250:
            return exposed(f"{greeting} and all the rest at once: {reply}")
        if reply.code != 503 or reply.enhanced != "5.5.0":
            raise ProbeFailed(str(reply))
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.send_raw(f"MAIL FROM:<friend@outside.example>\r\nRCPT TO:<{alice}>\r\n".encode())
        allowed = [(await smtp.reply()).code, (await smtp.reply()).code]
    if allowed != [250, 250]:
        raise ProbeFailed(f"pipelining that EHLO has announced is refused: {allowed}")
    return hardened(reply)


BEHAVIOUR = Behaviour(
    slug="early-talkers",
    title="A client waits for the answer where the protocol says so",
    source="P Konfiguration für postfix",
    why="Bots push a whole mail into the connection without listening, because that is faster. RFC 2920 allows "
    "pipelining only after the EHLO reply has announced it; whoever does not wait for that is refused.",
    configuration=(Change("mailhost/main.cf", "reject_unauth_pipelining,"),),
    expectation="503 5.5.0 Improper use of SMTP command pipelining",
    probe=probe,
    twin=Twin((without("smtpd_recipient_restrictions", "reject_unauth_pipelining"),), "the hasty client is served"),
)
