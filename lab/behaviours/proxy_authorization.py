"""proxy-authorization: only a master user may log in with its own password and act as somebody else."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Reply, Transcript

# The master users stand in the same file, marked, so that no ordinary user is one of them.
MASTER = Change(
    "mailhost/dovecot.conf",
    "passdb {\n  driver = passwd-file\n  args = username_format=master-%u @{confdir}/users\n  master = yes\n}",
)
CLIENT = Change("mailhost/users", "master-client:{PLAIN}@{password.client}")


async def act_as(name: str, other: str, source: str, lab: Lab, evidence: Transcript) -> Reply:
    """The reply to AUTH PLAIN with `name`'s password and `other` as the authorization identity."""
    async with await lab.smtp("mailhost.smtp", evidence, source=source) as smtp:
        await smtp.ehlo()
        await smtp.starttls(lab.trust, lab.name)
        await smtp.ehlo()
        reply = await smtp.auth_plain(name, lab.user(name).password, other)
        evidence.note(f"{name} as {other}: {reply}")
        return reply


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Everybody as himself, the master as alice, bob as alice."""
    himself = await act_as("bob", "bob", "127.0.0.86", lab, evidence)
    master = await act_as("client", "alice", "127.0.0.86", lab, evidence)
    other = await act_as("bob", "alice", "127.0.0.87", lab, evidence)
    if other.code == 235:
        return exposed(f"bob acts as alice: {other}")
    if himself.code != 235 or master.code != 235:
        raise ProbeFailed(f"bob as himself: {himself}; the master user as alice: {master}")
    if (other.code, other.enhanced) != (535, "5.7.8"):
        raise ProbeFailed(str(other))
    return hardened(f"the master user acts as alice; bob does not: {other}")


BEHAVIOUR = Behaviour(
    slug="proxy-authorization",
    title="Nobody but a master user acts as another",
    source="T smtptest (-a <username> -u <username>)",
    why="SASL lets a client say whose password it has and, apart from that, who it wants to be. A server that checks "
    "only the password makes every user everybody; one that is meant to act for others has to be named as such.",
    configuration=(MASTER,),
    expectation="235 for a master user, 535 5.7.8 for all others",
    probe=probe,
    given=(MASTER, CLIENT),
    shared=False,
)
