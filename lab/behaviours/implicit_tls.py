"""implicit-tls: imaps, pop3s and submissions speak TLS from the first octet."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Each port greets inside TLS with a certificate of the lab's authority, and says nothing in the clear."""
    async with await lab.imap("mailhost.imaps", evidence, tls=True) as imap:
        greetings = [imap.greeting]
    async with await lab.pop3("mailhost.pop3s", evidence, tls=True) as pop3:
        greetings.append(pop3.greeting)
    async with await lab.smtp("mailhost.submissions", evidence, tls=True) as smtp:
        greetings.append(str(smtp.greeting))
    for greeting, start in zip(greetings, ("* OK", "+OK", "220"), strict=True):
        if not greeting.startswith(start):
            raise ProbeFailed(greeting)
    for endpoint in ("mailhost.imaps", "mailhost.pop3s", "mailhost.submissions"):
        if not await lab.says_nothing_in_the_clear(endpoint, evidence):
            raise ProbeFailed(f"{endpoint} greets in the clear")
    return hardened("imaps, pop3s and submissions greet inside TLS, with a verified certificate, and only there")


BEHAVIOUR = Behaviour(
    slug="implicit-tls",
    title="Ports that speak nothing but TLS",
    source="D 5.6.3 (stunnel -p /etc/ssl/certs/stunnel.pem -d pop3s -l /usr/sbin/popd)",
    why="Where TLS comes before the first line, there is no plaintext phase in which somebody could strip "
    "STARTTLS or inject commands.",
    configuration=(
        Change("mailhost/dovecot.conf", "inet_listener imaps"),
        Change("mailhost/dovecot.conf", "inet_listener pop3s"),
        Change("mailhost/master.cf", "smtpd_tls_wrappermode=yes"),
    ),
    expectation="a greeting inside TLS, nothing in the clear",
    probe=probe,
)
