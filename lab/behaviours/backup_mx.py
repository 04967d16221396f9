"""backup-mx: mail for another server's domain waits here while that server is down."""

from __future__ import annotations

from pathlib import Path

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

DOMAIN, CAROL = "branch.example", "carol@branch.example"

# The primary's port: nobody listens there until the probe starts the primary.
BACKUP = (
    Change("mailhost/main.cf", f"relay_domains = {DOMAIN}\nrelay_recipient_maps = inline:{{ {CAROL}=x }}"),
    Change("mailhost/transport", f"{DOMAIN}      smtp:[mx.outside.example]:@{{nullclient.smtp}}"),
)


def primary(lab: Lab) -> Path:
    """The configuration of the primary: an MTA that delivers into the outside world's mail store."""
    store = lab.queue_directory("outside") / "private" / "dovecot-lmtp"
    confdir = lab.copy_of(
        "outside",
        f"127.0.0.3:{lab.port('nullclient.smtp')} inet n - n - - smtpd\n",
        main=f"mydestination = {DOMAIN}\nlocal_transport = lmtp:unix:{store}",
    )
    (confdir / "dovecot.conf").unlink()
    return confdir


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail for carol while her server is down, and for nobody there; then her server comes back."""
    token = lab.token()
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.command("MAIL FROM:<friend@outside.example>")
        for recipient, code in ((f"nobody@{DOMAIN}", 550), ("victim@far.example", 554)):
            reply = await smtp.command(f"RCPT TO:<{recipient}>")
            if reply.code == 250:
                return exposed(f"<{recipient}> is accepted: {reply}")
            if reply.code != code:
                raise ProbeFailed(f"<{recipient}>: {reply}")
        await smtp.command("RSET")
        accepted = await smtp.send_message("friend@outside.example", [CAROL], lab.message(token))
        if accepted.code != 250:
            raise ProbeFailed(f"<{CAROL}>: {accepted}")
    waiting = await lab.deferred_or_gone("mailhost")
    if waiting is None:
        raise ProbeFailed("the mail does not wait in the queue")
    evidence.note(f"queued: {waiting.reasons[0]}")
    async with lab.daemon(primary(lab), evidence):
        await lab.arrived(lab.user("carol"), token, evidence)
    return hardened("accepted and kept while the primary was down, delivered when it returned")


BEHAVIOUR = Behaviour(
    slug="backup-mx",
    title="Mail waits on the backup until the primary server is back",
    source="T Relay-Domains",
    why="A backup that accepts mail for any address of the domain fills up with bounces for invented ones, "
    "and spammers look for just that. The backup knows the recipients and keeps their mail, and relays nothing else.",
    configuration=(*BACKUP, Change("mailhost/main.cf", "transport_maps = hash:@{confdir}/transport")),
    expectation="kept in the queue while the primary is down, delivered when it returns; unknown recipients 550 5.1.1",
    probe=probe,
    given=BACKUP,
    instances=("mailhost", "outside"),
    shared=False,
)
