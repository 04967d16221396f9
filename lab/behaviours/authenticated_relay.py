"""authenticated-relay: whoever proves to be a user may send mail anywhere, from anywhere."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The same stranger before and after AUTH; the mail sent after it arrives in the outside world."""
    alice, carol, token = lab.user("alice"), lab.user("carol"), lab.token()
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        before = await smtp.send_message(alice.address, [carol.address], lab.message(token))
    if before.code == 250:
        return exposed(f"relayed without AUTH: {before}")
    if before.code != 554 or before.enhanced != "5.7.1":
        raise ProbeFailed(f"before AUTH: {before}")
    async with await lab.smtp_logged_in(alice, evidence) as smtp:
        after = await smtp.send_message(alice.address, [carol.address], lab.message(token))
        if after.code != 250:
            raise ProbeFailed(f"after AUTH: {after}")
    await lab.arrived(carol, token, evidence)
    return hardened(f"before AUTH {before}; after AUTH the mail arrives outside")


BEHAVIOUR = Behaviour(
    slug="authenticated-relay",
    title="Users relay from everywhere once they have logged in",
    source="T Authentifikation: Postfix main.cf; P Mailserver absichern (SMTP-AUTH)",
    why="Users are on the road, so their addresses prove nothing. A list of trusted networks wide enough for them "
    "would let everybody in; a password over TLS lets in only them.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_sasl_auth_enable = yes"),
        Change("mailhost/main.cf", "permit_sasl_authenticated ,\n  reject_unauth_destination"),
    ),
    expectation="554 5.7.1 Relay access denied before AUTH, 250 after it",
    probe=probe,
    instances=("mailhost", "outside"),
)
