"""connection-limits: one client cannot take all connections, nor flood the server with mail."""

from __future__ import annotations

from contextlib import AsyncExitStack

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript

CONNECTIONS, MESSAGES, RECIPIENTS, SESSIONS = 3, 2, 4, 2
TRIED = 3 * CONNECTIONS
# Each limit is met by an address of its own, so that no other counter interferes.
MANY_CONNECTIONS, MANY_MESSAGES, MANY_RECIPIENTS = "127.0.0.81", "127.0.0.82", "127.0.0.83"

LIMITS = Change(
    "mailhost/main.cf",
    f"smtpd_client_connection_count_limit = {CONNECTIONS}\n"
    f"smtpd_client_message_rate_limit = {MESSAGES}\n"
    f"smtpd_client_recipient_rate_limit = {RECIPIENTS}",
)
# One more port, which several processes serve: they count together.
PROCESSES = Change(
    "mailhost/master.cf", "127.0.0.2:@{nullclient.smtp} inet n - n - - smtpd -o hardmail_smtpd_processes=4"
)
IMAP_LIMIT = Change("mailhost/dovecot.conf", f"mail_max_userip_connections = {SESSIONS}")


async def connections(lab: Lab, evidence: Transcript) -> str:
    """The greeting of the last of many connections at once to several processes, of which CONNECTIONS are served."""
    address, port = lab.address("mailhost.smtp"), lab.port("nullclient.smtp")
    greetings = []
    async with AsyncExitStack() as held:
        for _ in range(TRIED):
            opened = await SMTP.open(address, port, source=MANY_CONNECTIONS, transcript=evidence)
            greetings.append((await held.enter_async_context(opened)).greeting)
        await smtp_elsewhere(lab, evidence)
    served = sum(greeting.code == 220 for greeting in greetings)
    if served not in (CONNECTIONS, TRIED):
        raise ProbeFailed(f"{served} of {TRIED} connections are served")
    return str(greetings[-1])


async def smtp_elsewhere(lab: Lab, evidence: Transcript) -> None:
    """Others are served while one client has used up its share. Raises ProbeFailed."""
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        if smtp.greeting.code != 220:
            raise ProbeFailed(f"another client is refused too: {smtp.greeting}")


async def envelopes(lab: Lab, evidence: Transcript) -> list[str]:
    """The replies to one MAIL FROM, and to one RCPT TO, too many within the time unit."""
    sender, recipient = "MAIL FROM:<friend@outside.example>", f"RCPT TO:<{lab.user('alice').address}>"
    said = []
    for source, limit, repeated in ((MANY_MESSAGES, MESSAGES, False), (MANY_RECIPIENTS, RECIPIENTS, True)):
        async with await lab.smtp("mailhost.smtp", evidence, source=source) as smtp:
            await smtp.ehlo()
            if repeated:
                await smtp.command(sender)
            for number in range(limit + 1):
                reply = await smtp.command(recipient if repeated else sender)
                if number < limit and reply.code != 250:
                    raise ProbeFailed(f"refused below the limit: {reply}")
                if not repeated:
                    await smtp.command("RSET")
            said.append(str(reply))
    return said


async def sessions(lab: Lab, evidence: Transcript) -> str:
    """The answer to one IMAP log-in too many of one user from one address."""
    alice = lab.user("alice")
    async with AsyncExitStack() as held:
        for number in range(SESSIONS + 1):
            imap = await held.enter_async_context(await lab.imap("mailhost.imaps", evidence, tls=True))
            response = await imap.login(alice.name, alice.password)
            if number < SESSIONS and response.status != "OK":
                raise ProbeFailed(f"refused below the limit: {response}")
    return str(response)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Connections, mails, recipients and IMAP sessions: as many as allowed, and one more."""
    said = [await connections(lab, evidence), *await envelopes(lab, evidence), await sessions(lab, evidence)]
    wanted = (
        "421 4.7.0 mail.lab.example Error: too many connections from ",
        "450 4.7.1 Error: too much mail from ",
        "450 4.7.1 Error: too many recipients from ",
        "NO [LIMIT]",
    )
    for reply, start in zip(said, wanted, strict=True):
        if reply.startswith(("220 ", "250 ", "OK ")):
            return exposed(f"one more than allowed: {reply}")
        if not reply.startswith(start):
            raise ProbeFailed(reply)
    return hardened(said[0])


BEHAVIOUR = Behaviour(
    slug="connection-limits",
    title="One client cannot use the server up",
    source="P Mailserver absichern (Anzahl der möglichen Verbindungen reduzieren)",
    why="A server has room for so many connections; one client that holds them all keeps everybody else out. Counted "
    "by address, each client has its share, and the mails and recipients of a minute have a limit as well.",
    configuration=(LIMITS, IMAP_LIMIT),
    expectation="421 4.7.0 Error: too many connections from x, over all processes; 450 4.7.1 for mail; NO [LIMIT]",
    probe=probe,
    given=(LIMITS, IMAP_LIMIT, PROCESSES),
    twin=Twin(
        (
            Change(
                "mailhost/main.cf",
                "smtpd_client_connection_count_limit = 0\n"
                "smtpd_client_message_rate_limit = 0\n"
                "smtpd_client_recipient_rate_limit = 0",
            ),
            Change("mailhost/dovecot.conf", "mail_max_userip_connections = 0"),
        ),
        "any number of connections from one address",
    ),
    shared=False,
)
