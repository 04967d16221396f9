"""no-anonymous: the ANONYMOUS mechanism, which proves nothing, is neither announced nor accepted."""

from __future__ import annotations

import base64

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Look for ANONYMOUS in EHLO after STARTTLS and try it."""
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.starttls(lab.trust, lab.name)
        mechanisms = (await smtp.ehlo()).get("AUTH", "").split()
        trace = base64.b64encode(b"probe@outside.example").decode()
        reply = await smtp.command(f"AUTH ANONYMOUS {trace}")
    if "ANONYMOUS" in mechanisms or reply.code == 235:
        return exposed(f"AUTH {' '.join(mechanisms)}; AUTH ANONYMOUS: {reply}")
    if "PLAIN" not in mechanisms:
        raise ProbeFailed(f"no login is possible at all: {mechanisms}")
    return hardened(f"AUTH {' '.join(mechanisms)}; AUTH ANONYMOUS: {reply}")


BEHAVIOUR = Behaviour(
    slug="no-anonymous",
    title="Nobody logs in as nobody",
    source="T Authentifikation: Postfix main.cf; L 3.2.1.1 (smtp_sasl_security_options)",
    why="An anonymous log-in is no authentication, but permit_sasl_authenticated would let it relay.",
    configuration=(Change("mailhost/main.cf", "smtpd_sasl_security_options = noanonymous"),),
    expectation="ANONYMOUS neither announced nor accepted, although the authentication service offers it",
    probe=probe,
    # The service offers ANONYMOUS in both stacks, so that it is the one line of main.cf that decides.
    given=(Change("mailhost/dovecot.conf", "auth_mechanisms = plain login anonymous"),),
    twin=Twin((Change("mailhost/main.cf", "smtpd_sasl_security_options ="),), "ANONYMOUS logs in, and may relay"),
    shared=False,
)
