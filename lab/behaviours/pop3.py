"""pop3: a mail is fetched and deleted over POP3 with STLS."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """bob gets a mail, reads it with RETR byte for byte, deletes it, and it is gone the next time."""
    bob, token = lab.user("bob"), lab.token()
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        reply = await smtp.send_message(
            "friend@outside.example", [bob.address], lab.message(token, "a line\n.\n..two dots\n")
        )
        if reply.code != 250:
            raise ProbeFailed(str(reply))
    await lab.arrived(bob, token, Transcript())
    async with await lab.pop3("mailhost.pop3", evidence) as pop3:
        await pop3.starttls(lab.trust, lab.name)
        if not (answer := await pop3.login(bob.name, bob.password)).startswith("+OK"):
            raise ProbeFailed(answer)
        _, listed = await pop3.multiline("UIDL")
        wanted = None
        for line in listed:
            number = line.split()[0].decode()
            _, mail = await pop3.multiline(f"RETR {number}")
            if any(token.encode() in header for header in mail):
                wanted = number
                break
        if wanted is None or mail[-3:] != [b"a line", b".", b"..two dots"]:
            raise ProbeFailed("the mail is not the one that was sent")
        await pop3.command(f"DELE {wanted}")
        await pop3.command("QUIT")
    async with await lab.pop3("mailhost.pop3", evidence) as pop3:
        await pop3.starttls(lab.trust, lab.name)
        await pop3.login(bob.name, bob.password)
        _, left = await pop3.multiline("UIDL")
    if len(left) != len(listed) - 1:
        raise ProbeFailed(f"{len(listed)} mails before DELE, {len(left)} after it")
    return hardened("STLS, USER, UIDL, RETR byte for byte, DELE, QUIT")


BEHAVIOUR = Behaviour(
    slug="pop3",
    title="POP3 with STLS works for real clients",
    source="D 5.6.2; T Dovecot",
    why="POP3 sends the password in its second command. It works here, but inside TLS.",
    configuration=(Change("mailhost/dovecot.conf", "protocols = imap pop3 lmtp"),),
    expectation="a mail is fetched and deleted inside TLS",
    probe=probe,
)
