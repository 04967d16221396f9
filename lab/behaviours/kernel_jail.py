"""kernel-jail: the kernel keeps each service inside its own files, whatever code runs in it."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Run code that is confined as the IMAP service is; it may read alice's mail, but no file of the system."""
    mail = lab.maildir("alice").parent.parent
    files = ["/etc/passwd", "/etc/hostname", str(lab.queue_directory("mailhost")), str(mail)]
    result = await lab.python("lab.behaviours.intruder", str(lab.confdir("mailhost")), "imap", *files)
    if result.status:
        raise ProbeFailed(f"the intruder ends with {result.status}: {result.errors.strip()}")
    opened = set()
    for line in result.output.splitlines():
        evidence.note(line)
        word, _, file = line.partition(" ")
        if word == "opened":
            opened.add(file)
    if opened & set(files[:2]):
        return exposed("code inside the IMAP process reads /etc/passwd")
    if files[3] not in opened:
        raise ProbeFailed("the IMAP service cannot even reach the mail that it is there for")
    return hardened("code inside the IMAP process reaches the mail root; /etc/passwd is refused by the kernel")


BEHAVIOUR = Behaviour(
    slug="kernel-jail",
    title="A service that is broken into is a prison, not a door",
    source="D 5.6.2 (chroot-Gefängnis); L 3.2.1.3 master.cf (chroot-Umgebung)",
    why="A fault in a parser may let an attacker run code of his own inside the server. The kernel then still "
    "keeps the process from every file that its service does not need.",
    configuration=(Change("mailhost/dovecot.conf", "hardmail_landlock = yes"),),
    expectation="code run inside the IMAP process cannot open a file outside the mail root",
    probe=probe,
    twin=Twin((Change("mailhost/dovecot.conf", "hardmail_landlock = no"),), "it reads /etc/passwd"),
)
