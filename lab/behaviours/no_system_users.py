"""no-system-users: who reads mail needs no account on the machine, and who has one gets no mail by it."""

from __future__ import annotations

import pwd

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A mail user logs in and is no system user; a system user is unknown to the mail server."""
    alice = lab.user("alice")
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    known = "one" if alice.name in accounts else "none"
    evidence.note(f"/etc/passwd has {len(accounts)} accounts, {alice.name} is {known} of them")
    async with await lab.imap("mailhost.imaps", evidence, tls=True) as imap:
        if (response := await imap.login(alice.name, alice.password)).status != "OK":
            raise ProbeFailed(f"a mail user cannot log in: {response}")
    async with await lab.imap("mailhost.imaps", evidence, tls=True) as imap:
        response = await imap.login("root", alice.password)
    if response.status == "OK":
        return exposed("root logs in to the mail server")
    if "[AUTHENTICATIONFAILED]" not in str(response):
        raise ProbeFailed(f"root is not refused as unknown: {response}")
    if alice.name in accounts:
        return exposed(f"{alice.name} is a system user")
    return hardened(f"{alice.name} logs in without an account; root: {response}")


BEHAVIOUR = Behaviour(
    slug="no-system-users",
    title="A mail user is no system user",
    source="D 5.6.2 (keine neuen Benutzer im lokalen System)",
    why="A mail account that is a system account has a shell, a home and a password that opens more than mail.",
    configuration=(Change("mailhost/dovecot.conf", "driver = passwd-file"),),
    expectation="virtual users log in; system users are unknown",
    probe=probe,
)
