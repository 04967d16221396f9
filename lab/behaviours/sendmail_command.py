"""sendmail-command: cron, PHP, git send-email and mutt hand their mail to `sendmail`."""

from __future__ import annotations

import os

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """`sendmail -t -i -f` reads recipients from the headers and keeps a lone dot; bad usage has a sysexits code."""
    alice, token = lab.user("alice"), lab.token()
    message = f"To: alice <{alice.address}>\nSubject: {token}\n\nbefore the dot\n.\nafter the dot\n"
    sent = await lab.sendmail("nullclient", "-t", "-i", "-f", "cron@" + lab.domain, message=message)
    evidence.note(f"sendmail -t -i -f cron@{lab.domain} ends with {sent.status}")
    if sent.status != os.EX_OK:
        raise ProbeFailed(f"sendmail: exit {sent.status}: {sent.errors.strip()}")
    mail = await lab.arrived(alice, token, evidence)
    if b"\n.\r\nafter the dot" not in mail or b"cron@" not in mail:
        raise ProbeFailed("the mail was changed on the way")
    nobody = await lab.sendmail("nullclient", "-t", message="Subject: no recipient\n\n")
    evidence.note(f"sendmail -t without a recipient ends with {nobody.status}: {nobody.errors.strip()}")
    if nobody.status != os.EX_TEMPFAIL:  # as Postfix's, whatever is wrong
        raise ProbeFailed(f"sendmail -t without a recipient: exit {nobody.status}")
    return hardened("exit 0 and the mail is in alice's mailbox; without a recipient exit 75")


BEHAVIOUR = Behaviour(
    slug="sendmail-command",
    title="Programs send mail through the sendmail command",
    source="D 5.6.1 (ssmtp, nullmailer)",
    why="Programs have called /usr/sbin/sendmail for forty years. If it fails, warnings get lost; a lone dot "
    "must not end a mail, and recipients come from the headers only if -t says so.",
    configuration=(Change("nullclient/main.cf", "relayhost = ["),),
    expectation="sendmail -t -i -f works as cron, PHP, git and mutt call it; exit codes are those of sysexits.h",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
