"""auth-warnings: who sends mail under another's name with `sendmail -f` is named in the header."""

from __future__ import annotations

import getpass

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

HEADER = "X-Authentication-Warning: "


async def sent(lab: Lab, sender: str, evidence: Transcript) -> str | None:
    """The warning in a mail that `sendmail -f` hands over, or None. Raises ProbeFailed."""
    alice, token = lab.user("alice"), lab.token()
    evidence.note(f"sendmail -i -f {sender} {alice.address}")
    result = await lab.sendmail("nullclient", "-i", "-f", sender, alice.address, message=lab.message(token))
    if result.status:
        raise ProbeFailed(f"sendmail ends with {result.status}: {result.errors.strip()}")
    mail = (await lab.arrived(alice, token, evidence)).decode("utf-8", "replace")
    return next((line for line in mail.split("\r\n") if line.startswith(HEADER)), None)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A mail in the name of the boss, and one in the caller's own name."""
    caller, boss = getpass.getuser(), f"boss@{lab.domain}"
    if (own := await sent(lab, caller, evidence)) is not None:
        raise ProbeFailed(f"a warning of the caller's own name: {own}")
    warning = await sent(lab, boss, evidence)
    if warning is None:
        return exposed(f"a mail of {caller} in the name of {boss} looks like any other")
    if not warning.endswith(f": {caller} set sender to {boss} using -f"):
        raise ProbeFailed(warning)
    return hardened(warning)


# Nobody is trusted here, so that the superuser's laboratory shows the same.
NOBODY_TRUSTED = Change("nullclient/main.cf", "hardmail_trusted_users =")

BEHAVIOUR = Behaviour(
    slug="auth-warnings",
    title="Who sends in another's name is named",
    source="L 3.2.3 Sendmail (PrivacyOptions=authwarnings)",
    why="Everybody on a machine may call sendmail -f with any sender; programs need it. The header names who did, "
    "unless it is a user that the machine trusts: a forged mail from inside shows its author.",
    configuration=(Change("nullclient/main.cf", "hardmail_authentication_warnings = yes"),),
    expectation="X-Authentication-Warning: HOST: USER set sender to ADDRESS using -f",
    probe=probe,
    given=(Change("nullclient/main.cf", "hardmail_authentication_warnings = yes"), NOBODY_TRUSTED),
    twin=Twin((Change("nullclient/main.cf", "hardmail_authentication_warnings = no"),), "no header"),
    instances=("nullclient", "mailhost"),
    shared=False,
)
