"""queue-without-daemon: no daemon runs; `sendmail` queues durably and `sendmail -q` (exim's cron job) sends."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A null client that is not running accepts mail from sendmail and sends it on the next queue run."""
    alice, token = lab.user("alice"), lab.token()
    confdir = lab.copy_of("nullclient", "")
    sent = await lab.sendmail(confdir, "-i", alice.address, message=f"Subject: {token}\n\nqueued without a daemon\n")
    if sent.status:
        raise ProbeFailed(f"sendmail: exit {sent.status}: {sent.errors.strip()}")
    waiting = await lab.queued(confdir)
    evidence.note(f"sendmail exits 0; mailq shows {len(waiting)} message(s), no daemon runs")
    if len(waiting) != 1:
        raise ProbeFailed(f"mailq shows {len(waiting)} messages in place of one")
    run = await lab.sendmail(confdir, "-q", message="")
    evidence.note(f"sendmail -q ends with {run.status}")
    await lab.arrived(alice, token, evidence)
    if left := await lab.queued(confdir):
        raise ProbeFailed(f"still queued after the run: {left}")
    return hardened("queued with no daemon running, sent by sendmail -q")


BEHAVIOUR = Behaviour(
    slug="queue-without-daemon",
    title="A machine that only sends mail needs no running daemon",
    source="D 5.6 (der Standard-cron-Job die Mails abarbeitet)",
    why="A daemon that does not run cannot be attacked. Mail is queued durably by the command, and the next "
    "sendmail -q (a cron job) sends it.",
    configuration=(Change("nullclient/main.cf", "relayhost = ["),),
    expectation="queued durably by sendmail, sent by the next sendmail -q",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
