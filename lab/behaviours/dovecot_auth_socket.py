"""dovecot-auth-socket: the socket of the authentication service belongs to the MTA alone."""

from __future__ import annotations

import stat

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Connection, Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Shake hands on the socket as the MTA does, log in through SMTP, and look at who else may connect."""
    path = lab.queue_directory("mailhost") / "private" / "auth"
    async with await Connection.open_unix(path, transcript=evidence) as socket:
        await socket.send("VERSION\t1\t2")
        await socket.send("CPID\t1")
        lines: list[str] = []
        while not lines or lines[-1] != "DONE":
            lines.append(await socket.read_line())
    if not lines[0].startswith("VERSION\t1\t") or not any(line.startswith("MECH\tPLAIN") for line in lines):
        raise ProbeFailed("this is no Dovecot authentication service")
    alice = lab.user("alice")
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.starttls(lab.trust, lab.name)
        await smtp.ehlo()
        if (reply := await smtp.auth_plain(alice.name, alice.password)).code != 235:
            raise ProbeFailed(f"no login through the socket: {reply}")
    mode = stat.S_IMODE(path.stat().st_mode)
    evidence.note(f"private/auth has mode {mode:04o}")
    if mode & 0o077:
        return exposed(f"mode {mode:04o}: every local user may try passwords on the socket")
    return hardened(f"alice logs in through the socket; mode {mode:04o}, its owner alone may connect")


BEHAVIOUR = Behaviour(
    slug="dovecot-auth-socket",
    title="The MTA asks Dovecot's authentication service over a private socket",
    source="T Authentifikation: Postfix main.cf; T Authentifikation: Dovecot",
    why="Whoever may connect to the socket can try passwords without a limit and without leaving a trace at "
    "any network service. Only the MTA's user may.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_sasl_type = dovecot"),
        Change("mailhost/main.cf", "smtpd_sasl_path = private/auth"),
        Change("mailhost/dovecot.conf", "mode = 0600"),
    ),
    expectation="users log in through the socket, and only its owner may connect to it",
    probe=probe,
    twin=Twin(
        (
            Change(
                "mailhost/dovecot.conf",
                "service auth {\n  unix_listener @{mailhost.queue}/private/auth {\n    mode = 0666\n  }\n}",
            ),
        ),
        "every local user may connect",
    ),
)
