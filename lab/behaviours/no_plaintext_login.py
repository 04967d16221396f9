"""no-plaintext-login: IMAP and POP3 do not take a password outside TLS."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import STRANGER, Lab, User
from lab.wire import IMAP, Tap, Transcript


async def overheard(lab: Lab, user: User, evidence: Transcript) -> bool:
    """Whether the password can be read on the way when a mail program logs in as the server lets it."""
    async with Tap(lab.endpoint("mailhost.imap"), STRANGER) as tap:
        evidence.note("a mail program logs in, and somebody listens on the way")
        async with await IMAP.open("127.0.0.1", tap.port, transcript=evidence) as imap:
            if "LOGINDISABLED" in await imap.capabilities():
                await imap.starttls(lab.trust, lab.name)
            answer = await imap.login(user.name, user.password)
        if answer.status != "OK":
            raise ProbeFailed(f"a mail program cannot log in: {answer}")
        heard = tap.heard(user.password)
        evidence.note(f"{tap.octets} octets heard, " + ("the password among them" if heard else "no password in them"))
        return heard


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Try to log in over plain IMAP and plain POP3 from another host; then listen to a client that heeds the server."""
    alice = lab.user("alice")
    async with await lab.imap("mailhost.imap", evidence) as imap:
        capabilities = await imap.capabilities()
        imap_answer = await imap.login(alice.name, alice.password)
    async with await lab.pop3("mailhost.pop3", evidence) as pop3:
        pop3_answer = await pop3.login(alice.name, alice.password)
    if await overheard(lab, alice, evidence):
        return exposed("somebody on the way has read the password")
    if imap_answer.status == "OK" or pop3_answer.startswith("+OK"):
        return exposed("the password crossed the network in plain text")
    if "LOGINDISABLED" not in capabilities:
        raise ProbeFailed("LOGINDISABLED is missing")
    if imap_answer.code != "PRIVACYREQUIRED" or not pop3_answer.startswith("-ERR [AUTH]"):
        raise ProbeFailed(f"refused with {imap_answer} and {pop3_answer}")
    return hardened(f"LOGINDISABLED; {imap_answer}; {pop3_answer}")


BEHAVIOUR = Behaviour(
    slug="no-plaintext-login",
    title="Mail is not fetched with a password that everybody can read",
    source="D 5.6.3 Sicherer Empfang von Mails; T Postfix-Authentifikation",
    why="IMAP and POP3 passwords sent in plain text are read by everybody on the same network. The server "
    "says so before the client can make the mistake.",
    configuration=(
        Change("mailhost/dovecot.conf", "disable_plaintext_auth = yes"),
        Change("mailhost/dovecot.conf", "ssl = required"),
    ),
    expectation="LOGINDISABLED, NO [PRIVACYREQUIRED], -ERR [AUTH]",
    probe=probe,
    twin=Twin(
        (Change("mailhost/dovecot.conf", "disable_plaintext_auth = no\nssl = yes"),), "a sniffer reads the password"
    ),
)
