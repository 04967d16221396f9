"""default-passwords: a service does not start while a user has a password that everybody knows."""

from __future__ import annotations

import os

from auth.dovecotconf import DovecotConfig
from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.sasl_programs import auth_service, login, room
from lab.behaviours.stack import Lab
from lab.wire import Transcript

USER, PASSWORD, STRONG = "admin", "changeme", "k3Jx-92mQ-vv"
SETTING = "hardmail_default_passwords"
REFUSE = Change("mailhost/dovecot.conf", f"{SETTING} = refuse")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A service with the mail host's setting and a user as some program's installation leaves it."""
    setting = DovecotConfig.load(lab.confdir("mailhost")).str(SETTING)
    place = room(lab, "shipped")
    users = place / "users"
    users.write_text(f"alice:{{PLAIN}}{STRONG}\n{USER}:{{PLAIN}}{PASSWORD}\n")
    users.chmod(0o644)
    socket = auth_service(place, [f"{SETTING} = {setting}\npassdb {{\n  driver = passwd-file\n  args = {users}\n}}\n"])
    evidence.note(f"{SETTING} = {setting}; {users} has the user {USER} with the password it was shipped with")
    if setting == "allow":
        async with lab.daemon(place, evidence):
            if await login(socket, USER, PASSWORD, evidence):
                return exposed(f"{USER} logs in with the password it was shipped with")
        raise ProbeFailed("the log-in fails")
    result = await lab.hardmail("run", "-c", str(place))
    evidence.note(f"hardmail run: exit {result.status}: {result.errors.strip()}")
    if result.status == os.EX_OK:
        return exposed("the service starts")
    if PASSWORD in result.errors or STRONG in result.errors:
        return exposed("the error tells the password")
    if str(users) not in result.errors or f"user {USER} " not in result.errors or "alice" in result.errors:
        raise ProbeFailed(f"the error does not name user and file: {result.errors}")
    return hardened(f"exit {result.status}: {result.errors.strip()}")


BEHAVIOUR = Behaviour(
    slug="default-passwords",
    title="Nothing starts with a password that everybody knows",
    source="P Mailserver absichern (Die Standardpasswörter sofort ändern)",
    why="Programs that guess begin with the passwords that systems are shipped with, with empty ones and with the "
    "user's own name. A service that strangers can reach does not start with one of them, and says who has it. "
    "hardmail check names passwords that have not changed for a year.",
    configuration=(REFUSE,),
    expectation="the start fails and names user and file, never the password",
    probe=probe,
    given=(REFUSE,),
    twin=Twin((Change("mailhost/dovecot.conf", f"{SETTING} = allow"),), "the shipped password logs in"),
    shared=False,
)
