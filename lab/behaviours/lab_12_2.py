"""lab-12.2: IMAP, POP3 and SMTP authentication over Dovecot's socket: the exercise's check, and the real smtptest."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, Outcome, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.processes import run_to_end
from lab.behaviours.stack import Lab
from lab.programs import Program
from lab.wire import Transcript

SMTPTEST = Program("smtptest", "cyrus-clients")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Every step of the exercise, looked at on this stack as on a student's; then a mail sent with smtptest."""
    from lab.exercises.engine import on_stack

    checked = await on_stack("12.2", lab, evidence)
    if checked.outcome is not Outcome.HARDENED:
        return checked
    path, alice, carol, token = SMTPTEST.path(), lab.user("alice"), lab.user("carol"), lab.token()
    if path is None:
        raise ProbeFailed(f"{SMTPTEST} is missing")
    lines = (f"MAIL FROM:<{alice.address}>", f"RCPT TO:<{carol.address}>", "DATA")
    message = (f"From: {alice.address}", f"Subject: {token}", "", "Sent with smtptest.", ".", "QUIT", "")
    port = str(lab.port("mailhost.smtp"))
    argv = [path, "-t", "", "-p", port, "-m", "PLAIN", "-a", alice.name, "-u", alice.name]
    evidence.note(f"{' '.join(argv)} -w ... {lab.address('mailhost.smtp')}")
    # Anybody on the machine can read a command line; without a terminal smtptest takes the password nowhere else.
    result = await run_to_end(
        [*argv, "-w", alice.password, lab.address("mailhost.smtp")], "\r\n".join((*lines, *message))
    )
    if "Authenticated." not in result.output:
        return exposed(f"smtptest: {result.output.splitlines()[-1:]} {result.errors.strip()}")
    await lab.arrived(carol, token, evidence)
    return hardened(f"{checked.said}; smtptest: Authenticated, and its mail arrives at {carol.address}")


BEHAVIOUR = Behaviour(
    slug="lab-12.2",
    title="Lab 12.2: users read their mail and send it from anywhere, once they have proved who they are",
    source="T Lab 12.2: Dovecot; T smtpstest",
    why="Whoever sends from outside has to log in, and the password may cross the network inside TLS only. Postfix has "
    "no passwords of its own: it asks Dovecot over a socket. The check of the exercise reads over IMAP and POP3, "
    "looks for AUTH before and after STARTTLS, logs in rightly and wrongly; the real smtptest sends a mail. "
    "`hardmail lab start 12.2` begins the exercise.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_tls_auth_only = yes"),
        Change("mailhost/main.cf", "smtpd_sasl_type = dovecot"),
        Change("mailhost/main.cf", "smtpd_sasl_path = private/auth"),
        Change("mailhost/main.cf", "smtpd_sasl_authenticated_header = yes"),
        Change("mailhost/dovecot.conf", "protocols = imap pop3 lmtp"),
    ),
    expectation="mail is read over IMAP and POP3; AUTH inside TLS only; 235 and relayed, 535 and 554 for others",
    probe=probe,
    twin=Twin(
        (Change("mailhost/main.cf", "smtpd_tls_auth_only = no"),),
        "the check sees AUTH announced before STARTTLS, and says so",
    ),
    instances=("mailhost", "outside"),
    shared=False,
    needs=(SMTPTEST,),
)
