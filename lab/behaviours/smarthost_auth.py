"""smarthost-auth: the null client logs in to its smarthost, but never tells its password in plain text."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript
from lab.wire.trap import Trap


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The right password logs in; a wrong one defers and keeps the mail; a server without TLS sees no password."""
    alice, token = lab.user("alice"), lab.token()
    sent = await lab.sendmail("nullclient", "-i", alice.address, message=f"Subject: {token}\n\nwith a login\n")
    if sent.status:
        raise ProbeFailed(f"sendmail: exit {sent.status}")
    mail = await lab.arrived(alice, token, evidence)
    if b"Authenticated sender" not in mail:
        raise ProbeFailed("the smarthost took the mail without a login")

    wrong = lab.copy_of(
        "nullclient", "", main=f"smtp_sasl_password_maps = inline:{{ {{{lab.smarthost}=nullclient:wrong}} }}"
    )
    await lab.sendmail(wrong, "-i", alice.address, message="Subject: wrong password\n\n")
    await lab.sendmail(wrong, "-q", message="")
    reasons = [reason for entry in await lab.queued(wrong) for reason in entry.reasons]
    evidence.note(f"with a wrong password: {reasons}")
    if not any("authentication failed" in reason.lower() for reason in reasons):
        raise ProbeFailed(f"a wrong password did not defer the mail: {reasons}")

    async with Trap(evidence) as trap:
        plain = lab.copy_of(
            "nullclient",
            "",
            main=f"relayhost = [127.0.0.1]:{trap.port}\n"
            "smtp_tls_security_level = may\n"
            f"smtp_sasl_password_maps = inline:{{ {{[127.0.0.1]:{trap.port}=nullclient:told-in-the-clear}} }}",
        )
        await lab.sendmail(plain, "-i", alice.address, message="Subject: no TLS here\n\n")
        await lab.sendmail(plain, "-q", message="")
    if trap.credentials:
        return exposed("the password was sent in plain text")
    return hardened("logged in over TLS; wrong password: deferred and kept; without TLS: no password sent")


BEHAVIOUR = Behaviour(
    slug="smarthost-auth",
    title="The null client proves who it is, and only over TLS",
    source="L 3.2.1.1 main.cf (SASL Settings)",
    why="A password sent in plain text belongs to whoever listens, and a false smarthost need only ask for "
    "it. The client logs in over TLS alone and keeps mail when the login fails.",
    configuration=(
        Change("nullclient/main.cf", "smtp_sasl_auth_enable = yes"),
        Change("nullclient/main.cf", "smtp_sasl_password_maps = "),
        Change("nullclient/main.cf", "smtp_sasl_tls_security_options = noanonymous"),
    ),
    expectation="logs in; a wrong password defers and keeps the mail; never a password over plain text",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
