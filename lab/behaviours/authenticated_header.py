"""authenticated-header: the Received header says who logged in, so that abuse can be traced."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """alice submits a mail to herself after logging in; the mail shows her login name, or does not."""
    alice, token = lab.user("alice"), lab.token()
    async with await lab.smtp("mailhost.submission", evidence) as smtp:
        await smtp.ehlo()
        await smtp.starttls(lab.trust, lab.name)
        await smtp.ehlo()
        await smtp.auth_plain(alice.name, alice.password)
        reply = await smtp.send_message(alice.address, [alice.address], lab.message(token))
        if reply.code != 250:
            raise ProbeFailed(str(reply))
    mail = (await lab.arrived(alice, token, evidence)).decode("utf-8", "replace")
    headers = mail.partition("\r\n\r\n")[0]
    if f"(Authenticated sender: {alice.name})" in headers:
        return hardened(f"Received: ... (Authenticated sender: {alice.name})")
    return exposed("the mail does not tell who logged in")


BEHAVIOUR = Behaviour(
    slug="authenticated-header",
    title="Mail of a logged-in user carries the login name",
    source="T Authentifikation: Postfix main.cf",
    why="When a stolen password is used for spam, the header tells which one it was.",
    configuration=(Change("mailhost/main.cf", "smtpd_sasl_authenticated_header = yes"),),
    expectation="(Authenticated sender: user) in Received",
    probe=probe,
    twin=Twin((Change("mailhost/main.cf", "smtpd_sasl_authenticated_header = no"),), "the login name is missing"),
)
