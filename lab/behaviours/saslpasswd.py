"""saslpasswd: a user that saslpasswd2 makes can log in, and the file holds no clear-text password."""

from __future__ import annotations

import secrets

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.sasl_programs import room, saslauthd, testsaslauthd
from lab.behaviours.stack import Lab
from lab.wire import Transcript

USER = "dora"


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Make a user, look into the file, log in through saslauthd, delete the user."""
    place, password = room(lab, "sasldb"), secrets.token_urlsafe(12)
    file = place / "sasldb2"
    made = await lab.hardmail("saslpasswd2", "-p", "-c", "-f", str(file), "-u", lab.domain, USER, stdin=f"{password}\n")
    if made.status:
        raise ProbeFailed(f"saslpasswd2: exit {made.status}: {made.errors.strip()}")
    evidence.note(f"saslpasswd2 -c -u {lab.domain} {USER}: {file.name} has mode {file.stat().st_mode & 0o777:o}")
    listed = await lab.hardmail("sasldblistusers2", "-f", str(file))
    evidence.note(f"sasldblistusers2: {listed.output.strip()}")
    if password in file.read_text():
        return exposed("the file holds the password in the clear")
    async with saslauthd(room(lab, "sasldb-run"), evidence, "-a", "sasldb", "-O", str(file)) as path:
        good = await testsaslauthd(lab, path, USER, password, evidence, lab.domain)
        other = await testsaslauthd(lab, path, USER, password, evidence, "elsewhere.example")
        await lab.hardmail("saslpasswd2", "-d", "-f", str(file), "-u", lab.domain, USER)
        evidence.note(f"saslpasswd2 -d -u {lab.domain} {USER}")
    async with saslauthd(lab.directory / "sasldb-run", evidence, "-a", "sasldb", "-O", str(file)) as path:
        deleted = await testsaslauthd(lab, path, USER, password, evidence, lab.domain)
    if not good:
        raise ProbeFailed("the user cannot log in")
    if other or deleted:
        return exposed("the password is taken in another realm" if other else "a deleted user logs in")
    return hardened(f"{listed.output.strip()}; logs in; no password in {file.name}")


BEHAVIOUR = Behaviour(
    slug="saslpasswd",
    title="A user's password is set without being written down",
    source="L 3.2.2 SASL (saslpasswd2 -c -u)",
    why="The sasldb2 of Cyrus SASL keeps every password in the clear, so that one look into the file gives them all "
    "away. Ours keeps SCRAM keys: a password can be checked with them, but not found in them.",
    configuration=(Change("mailhost/sasl/smtpd.conf", "pwcheck_method: saslauthd"),),
    expectation="the user logs in, in its realm only; the file holds no clear-text password",
    probe=probe,
    shared=False,
)
