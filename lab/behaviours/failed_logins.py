"""failed-logins: each wrong password makes its address wait longer, and too many are not heard at all."""

from __future__ import annotations

import time

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import IMAP, SMTP, Transcript

GUESSER, USER_ELSEWHERE, SMTP_GUESSER = "127.0.0.90", "127.0.0.91", "127.0.0.92"
DELAY_SECONDS = 2.0
ATTEMPTS = 1
LOCKOUT = Change("mailhost/dovecot.conf", "hardmail_lockout_address_failures = 2")
LIMIT = Change("mailhost/main.cf", f"smtpd_client_auth_rate_limit = {ATTEMPTS}")


async def timed(imap: IMAP, name: str, password: str, evidence: Transcript) -> tuple[str, float]:
    """The status of a log-in, and how long the server took (seconds)."""
    start = time.monotonic()
    response = await imap.login(name, password)
    seconds = time.monotonic() - start
    evidence.note(f"{response.status} after {seconds:.1f} s")
    return response.status, seconds


async def guesses(smtp: SMTP, name: str) -> str:
    """The reply to the first AUTH that is too many."""
    for number in range(ATTEMPTS + 1):
        reply = await smtp.auth_plain(name, f"guess-{number}")
        if reply.code not in (535, 450):
            raise ProbeFailed(str(reply))
    return str(reply)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Two guesses over IMAP, a user with the right password elsewhere and where it was guessed, guesses over SMTP."""
    alice = lab.user("alice")
    waits = []
    for number in range(2):
        async with await lab.imap("mailhost.imaps", evidence, source=GUESSER, tls=True) as imap:
            status, seconds = await timed(imap, alice.name, f"guess-{number}", evidence)
        if status != "NO":
            raise ProbeFailed(f"a wrong password: {status}")
        waits.append(seconds)
    async with await lab.imap("mailhost.imaps", evidence, source=USER_ELSEWHERE, tls=True) as imap:
        status, elsewhere = await timed(imap, alice.name, alice.password, evidence)
    if status != "OK" or elsewhere >= DELAY_SECONDS:
        raise ProbeFailed(f"a user elsewhere: {status} after {elsewhere:.1f} s")
    if waits[0] < DELAY_SECONDS:
        return exposed(f"wrong passwords are answered after {waits[0]:.1f} s and {waits[1]:.1f} s")
    if waits[1] < 1.5 * waits[0]:
        raise ProbeFailed(f"the second failure does not wait longer: {waits}")
    async with await lab.imap("mailhost.imaps", evidence, source=GUESSER, tls=True) as imap:
        status, _ = await timed(imap, alice.name, alice.password, evidence)
    if status != "NO":
        raise ProbeFailed(f"the right password after {len(waits)} guesses: {status}")
    async with await lab.smtp("mailhost.smtp", evidence, source=SMTP_GUESSER) as smtp:
        await smtp.ehlo()
        await smtp.starttls(lab.trust, lab.name)
        await smtp.ehlo()
        refused = await guesses(smtp, alice.name)
    if not refused.startswith("450 4.7.1 Error: too many AUTH commands"):
        raise ProbeFailed(refused)
    return hardened(
        f"{waits[0]:.1f} s, {waits[1]:.1f} s, then locked out; a user elsewhere {elsewhere:.1f} s; {refused}"
    )


BEHAVIOUR = Behaviour(
    slug="failed-logins",
    title="Guessing passwords takes too long to be worthwhile",
    source="P Mailserver absichern (Die Anzahl für fehlgeschlagenen Login-Versuche heruntersetzen)",
    why="A program guesses thousands of passwords a minute if it is answered at once. Each failure waits, the next "
    "from the same address waits longer, an address with too many is locked out for a quarter of an hour, and a client "
    "that says AUTH too often is refused unheard. "
    "A user at another address does not notice.",
    configuration=(Change("mailhost/dovecot.conf", "auth_failure_delay = 2 secs"), LOCKOUT, LIMIT),
    expectation="each failure slower, then the address is locked out; 450 4.7.1 Error: too many AUTH commands; "
    "a user elsewhere is not slowed",
    probe=probe,
    given=(LOCKOUT, LIMIT),
    twin=Twin(
        (
            Change(
                "mailhost/dovecot.conf",
                "hardmail_lockout_address_failures = 0\nauth_failure_delay = 0\n"
                "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}",
            ),
            Change("mailhost/main.cf", "smtpd_client_auth_rate_limit = 0"),
        ),
        "thousands of guesses a minute",
    ),
    shared=False,
)
