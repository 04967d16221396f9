"""no-user-enumeration: the server does not tell strangers who has a mailbox or a password here."""

from __future__ import annotations

import asyncio

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

# Failed log-ins make their address wait, so each comes from one that nobody else uses.
KNOWN_FROM, UNKNOWN_FROM = "127.0.0.84", "127.0.0.85"


async def failed_login(source: str, name: str, lab: Lab, evidence: Transcript) -> str:
    """The reply to a wrong password."""
    async with await lab.smtp("mailhost.smtp", evidence, source=source) as smtp:
        await smtp.ehlo()
        await smtp.starttls(lab.trust, lab.name)
        await smtp.ehlo()
        return str(await smtp.auth_plain(name, "not-the-password"))


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """VRFY and EXPN for a known and an unknown user; wrong passwords for both."""
    alice = lab.user("alice")
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        verified = [await smtp.command(f"VRFY {name}") for name in (alice.address, f"nobody@{lab.domain}")]
        expanded = await smtp.command("EXPN postmaster")
    if {reply.code for reply in (*verified, expanded)} & {250, 251, 252}:
        return exposed(f"VRFY tells known users ({verified[0]}) from unknown ones ({verified[1]})")
    # Postfix does not know EXPN at all (500); a server that knows and refuses it says 502.
    if any(reply.code != 502 for reply in verified) or expanded.code not in (500, 502):
        raise ProbeFailed(f"{verified[0]} / {expanded}")
    both = ((KNOWN_FROM, alice.name), (UNKNOWN_FROM, "nobody"))
    attempts = [failed_login(source, name, lab, Transcript()) for source, name in both]
    known, unknown = await asyncio.gather(*attempts)
    evidence.note(f"a wrong password of a known user: {known}")
    evidence.note(f"a wrong password of nobody: {unknown}")
    if known != unknown:
        return exposed("failed log-ins tell known users from unknown ones")
    return hardened(verified[0])


BEHAVIOUR = Behaviour(
    slug="no-user-enumeration",
    title="Strangers cannot ask for the list of users",
    source="L 3.2.3 Sendmail (PrivacyOptions=novrfy,noexpn)",
    why="VRFY asks whether an address exists, EXPN who is behind it: spammers collect addresses and attackers log-in "
    "names with them. Both are switched off, and a wrong password has the same answer whether the user exists or not.",
    configuration=(Change("mailhost/main.cf", "disable_vrfy_command = yes"),),
    expectation="502 5.5.1 VRFY command is disabled; EXPN is refused; one answer for all wrong passwords",
    probe=probe,
    twin=Twin((Change("mailhost/main.cf", "disable_vrfy_command = no"),), "252 for known, 550 for unknown users"),
)
