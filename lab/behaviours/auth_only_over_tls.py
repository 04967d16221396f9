"""auth-only-over-tls: AUTH is neither announced nor accepted before STARTTLS."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Look for AUTH in the plain EHLO, try it all the same, then see that it works after STARTTLS."""
    alice = lab.user("alice")
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        announced = "AUTH" in await smtp.ehlo()
        early = await smtp.auth_plain(alice.name, alice.password)
    if announced or early.code == 235:
        return exposed(f"AUTH in plain text {'is announced' if announced else 'is accepted'}: {early}")
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.starttls(lab.trust, lab.name)
        late = "AUTH" in await smtp.ehlo() and (await smtp.auth_plain(alice.name, alice.password)).code == 235
    if not late:
        raise ProbeFailed("AUTH does not work after STARTTLS either")
    return hardened(f"before STARTTLS {early}; after it 235")


BEHAVIOUR = Behaviour(
    slug="auth-only-over-tls",
    title="Passwords are asked for only inside TLS",
    source="T Authentifikation: Postfix main.cf",
    why="PLAIN and LOGIN are readable to everybody on the way. AUTH is announced and accepted only when TLS "
    "protects it, so a careless client cannot give the password away.",
    configuration=(Change("mailhost/main.cf", "smtpd_tls_auth_only = yes"),),
    expectation="AUTH neither announced nor accepted before STARTTLS",
    probe=probe,
    twin=Twin((Change("mailhost/main.cf", "smtpd_tls_auth_only = no"),), "AUTH announced and accepted in plain text"),
)
