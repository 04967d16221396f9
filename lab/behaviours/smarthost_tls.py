"""smarthost-tls: a smarthost whose certificate is not the right one gets no mail."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

# The outside world's mail server plays the impostor: it has a certificate, but not the smarthost's.
IMPOSTOR = Change("nullclient/main.cf", "relayhost = [127.0.0.3]:@{outside.smtp}")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail that the impostor would accept is deferred, with the reason, and kept."""
    token = lab.token()
    async with await lab.smtp("nullclient.smtp", evidence, source="127.0.0.1") as smtp:
        await smtp.ehlo("localhost")
        reply = await smtp.send_message(f"root@{lab.domain}", ["carol@outside.example"], lab.message(token))
        if reply.code != 250:
            raise ProbeFailed(str(reply))
    entry = await lab.deferred_or_gone("nullclient")
    if entry is None:
        evidence.note("the null client's queue is empty: the impostor has the mail")
        return exposed("the mail went to a server with the wrong certificate")
    evidence.note(f"queued: {entry.reasons}")
    if any("not verified" in reason.lower() or "not trusted" in reason.lower() for reason in entry.reasons):
        return hardened(entry.reasons[0])
    raise ProbeFailed(f"deferred for another reason: {entry.reasons}")


BEHAVIOUR = Behaviour(
    slug="smarthost-tls",
    title="Mail goes to the smarthost only if its certificate proves that it is the smarthost",
    source="L 3.2.1.1 main.cf (TLS Settings); P SSL / TLS",
    why="Encryption without a check of the certificate protects from listeners but not from somebody who sits "
    "in between or forges the DNS. The certificate has to prove the smarthost's name.",
    configuration=(
        Change("nullclient/main.cf", "smtp_tls_security_level = secure"),
        Change("nullclient/main.cf", "smtp_tls_CAfile = "),
    ),
    expectation="deferred 4.7.5 Server certificate not verified; the mail is kept",
    probe=probe,
    given=(IMPOSTOR,),
    twin=Twin((Change("nullclient/main.cf", "smtp_tls_security_level = may"),), "the impostor gets the mail"),
    instances=("nullclient", "outside"),
    shared=False,
)
