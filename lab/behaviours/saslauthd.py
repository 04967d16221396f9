"""saslauthd: programs of Cyrus SASL log users in through a daemon that alone may look at the passwords."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.sasl_programs import room, saslauthd, testsaslauthd
from lab.behaviours.stack import Lab
from lab.wire import SMTP, Transcript

CYRUS = Change("mailhost/main.cf", "smtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd")


async def greeted(lab: Lab, evidence: Transcript) -> SMTP:
    smtp = await lab.smtp("mailhost.smtp", evidence)
    await smtp.ehlo()
    await smtp.starttls(lab.trust, lab.name)
    await smtp.ehlo()
    return smtp


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """smtpd, which cannot read the passwords, asks saslauthd, which refuses a directory that others write in."""
    alice = lab.user("alice")
    users = lab.confdir("mailhost") / "users"
    async with saslauthd(room(lab, "saslauthd"), evidence, "-a", "passwd-file", "-O", str(users)) as path:
        if not await testsaslauthd(lab, path, alice.name, alice.password, evidence):
            raise ProbeFailed("the right password is refused")
        if await testsaslauthd(lab, path, alice.name, "wrong", evidence):
            return exposed("a wrong password is taken")
        async with await greeted(lab, evidence) as smtp:
            good = await smtp.auth_plain(alice.name, alice.password)
        async with await greeted(lab, evidence) as smtp:
            bad = await smtp.auth_plain(alice.name, "wrong")
    async with await greeted(lab, evidence) as smtp:
        gone = await smtp.auth_plain(alice.name, alice.password)
    if (good.code, gone.code) != (235, 454):
        raise ProbeFailed(f"with saslauthd: {good}; without: {gone}")
    if bad.code != 535:
        return exposed(f"a wrong password: {bad}")
    free = room(lab, "saslauthd-open")
    free.chmod(0o777)
    refused = await lab.hardmail("saslauthd", "-a", "passwd-file", "-O", str(users), "-m", str(free))
    evidence.note(f"saslauthd -m {free}: exit {refused.status}: {refused.errors.strip()}")
    if refused.status != 1 or "may be written by others" not in refused.errors:
        return exposed("saslauthd starts in a directory where others can put a socket in its place")
    return hardened(f"{good}; a wrong password: {bad}; {refused.errors.strip()}")


BEHAVIOUR = Behaviour(
    slug="saslauthd",
    title="Passwords are checked by a daemon of their own, behind a socket that few may reach",
    source="L 3.2.2 SASL (saslauthd -a shadow; pwcheck_method: saslauthd)",
    why="A mail server that reads the passwords itself gives them all away when it is broken into. saslauthd alone "
    "sees them and says yes or no. Whoever can write in its directory could put a socket of his own there and be told "
    "every password, so such a directory is refused.",
    configuration=(Change("mailhost/sasl/smtpd.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN"), CYRUS),
    expectation="235 and 535 as saslauthd says, 454 without it; a directory that others may write in is refused",
    probe=probe,
    given=(CYRUS,),
    shared=False,
)
