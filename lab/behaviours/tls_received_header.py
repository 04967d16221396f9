"""tls-received-header: the mail tells how well its way was protected."""

from __future__ import annotations

import re

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

PROTECTED = re.compile(r"\(using (TLSv1\.[23]) with cipher (\S+) \(\d+/\d+ bits\)")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail over STARTTLS, and mail without it: only the first may tell of a cipher."""
    alice, protected, plain = lab.user("alice"), lab.token(), lab.token()
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        sent = [await smtp.send_message("friend@outside.example", [alice.address], lab.message(plain))]
        await smtp.starttls(lab.trust, lab.name)
        await smtp.ehlo()
        sent.append(await smtp.send_message("friend@outside.example", [alice.address], lab.message(protected)))
    if any(reply.code != 250 for reply in sent):
        raise ProbeFailed(f"{sent[0]} / {sent[1]}")
    mails = [(await lab.arrived(alice, token, evidence)).decode("ascii", "replace") for token in (plain, protected)]
    without, found = (PROTECTED.search(" ".join(mail.partition("\r\n\r\n")[0].split())) for mail in mails)
    if without is not None:
        raise ProbeFailed(f"a cipher for mail in plain text: {without.group()}")
    if found is None:
        return exposed("the mail does not tell of TLS")
    evidence.note(found.group())
    return hardened(found.group())


BEHAVIOUR = Behaviour(
    slug="tls-received-header",
    title="Received tells protocol and cipher",
    source="L 3.2.1.1 main.cf (TLS Settings)",
    why="Opportunistic TLS can be stripped by whoever sits in between, and nobody notices. With protocol and cipher in "
    "the header, the reader of a mail and the administrator can see whether this hop was protected.",
    configuration=(Change("mailhost/main.cf", "smtpd_tls_received_header = yes"),),
    expectation="(using TLSv1.3 with cipher ... (256/256 bits) ...) in Received",
    probe=probe,
    twin=Twin((Change("mailhost/main.cf", "smtpd_tls_received_header = no"),), "nobody can tell afterwards"),
)
