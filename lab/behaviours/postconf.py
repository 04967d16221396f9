"""postconf: what is in force can be asked, and a misspelt parameter does not go unnoticed."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

# How postconf is called, and what its output then has in it.
QUESTIONS = (
    (("-d", "mydestination"), "mydestination = $myhostname, localhost.$mydomain, localhost"),
    (("-n", "mydestination"), "mydestination ="),
    (("-h", "smtp_tls_security_level"), "secure"),
    (("-a",), "dovecot"),
    (("-m",), "texthash"),
    (("-e", "smtpd_banner = $myhostname ESMTP"), ""),
    (("-x", "-h", "smtpd_banner"), "client.lab.example ESMTP"),
)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Defaults, settings, values, plug-ins, an edit; then a parameter that does not exist."""
    confdir = lab.copy_of("nullclient", "", main="smtpd_tls_auth_olny = yes")
    for arguments, wanted in QUESTIONS:
        result = await lab.hardmail("postconf", "-c", str(confdir), *arguments)
        evidence.note(f"postconf {' '.join(arguments)}: {result.output.strip()[:120]!r}")
        if result.status or wanted not in result.output:
            raise ProbeFailed(f"postconf {' '.join(arguments)}: exit {result.status}, {result.errors.strip()}")
    every = await lab.hardmail("postconf", "-c", str(confdir), "-d")
    set_here = await lab.hardmail("postconf", "-c", str(confdir), "-n")
    counts = len(every.output.splitlines()), len(set_here.output.splitlines())
    evidence.note(f"postconf -d: {counts[0]} parameters; postconf -n: {counts[1]}")
    if not counts[1] < counts[0]:
        raise ProbeFailed(f"{counts}")
    dovecot = await lab.hardmail("doveconf", "-c", str(lab.confdir("mailhost") / "dovecot.conf"), "-n", "ssl")
    evidence.note(f"doveconf -n ssl: {dovecot.output.strip()}")
    if dovecot.output.strip() != "ssl = required":
        raise ProbeFailed(f"doveconf -n ssl: exit {dovecot.status}, {dovecot.errors.strip()}")
    for line in set_here.errors.splitlines():
        if "main.cf" in line and "unused parameter: smtpd_tls_auth_olny=yes" in line:
            evidence.note(line)
            return hardened(line)
    return exposed(f"a misspelt parameter passes without a word: {set_here.errors.strip()!r}")


BEHAVIOUR = Behaviour(
    slug="postconf",
    title="The settings in force can be asked, and misspelt ones are told",
    source="L 3.2.1.1 main.cf (postconf -d, postconf -n)",
    why="A misspelt line hardens nothing and looks as if it did. postconf shows what is compiled in (-d), what is set "
    "here (-n), and names every parameter that nothing reads.",
    configuration=(Change("nullclient/main.cf", "myorigin = $mydomain"),),
    expectation="as the real tools; an unknown parameter: warning with its file",
    probe=probe,
    instances=("nullclient",),
)
