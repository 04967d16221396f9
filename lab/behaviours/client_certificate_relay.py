"""client-certificate-relay: a client may relay because it holds the key of a certificate that we know."""

from __future__ import annotations

import asyncio
import ssl
import time

from cryptography.hazmat.primitives.serialization import Encoding

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import listed
from lab.behaviours.stack import LOOK_AGAIN_SECONDS, Lab
from lab.wire import Reply, Transcript
from tls.authority import Authority
from tls.context import client_context
from tls.fingerprint import certificate_fingerprint
from tls.policy import Policy

# A changed table takes effect within a second.
TABLE_SECONDS = 3.0


def restrictions(own: str) -> Change:
    """The recipient restrictions with one more before reject_unauth_destination."""
    entries = listed("smtpd_recipient_restrictions")
    entries.insert(entries.index("reject_unauth_destination"), own)
    return Change("mailhost/main.cf", "smtpd_recipient_restrictions =\n  " + ",\n  ".join(entries))


RELAY = (
    Change(
        "mailhost/main.cf",
        "smtpd_tls_ask_ccert = yes\n"
        "smtpd_tls_CAfile = @{ca_file}\n"
        "smtpd_tls_fingerprint_digest = sha256\n"
        "relay_clientcerts = hash:@{confdir}/relay_clientcerts",
    ),
    restrictions("permit_tls_clientcerts"),
)


async def relays(context: ssl.SSLContext, who: str, lab: Lab, evidence: Transcript) -> Reply:
    """The reply to a recipient that is not ours."""
    evidence.note(who)
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        await smtp.starttls(context, lab.name)
        await smtp.ehlo()
        await smtp.command("MAIL FROM:<friend@outside.example>")
        return await smtp.command("RCPT TO:<friend@far.example>")


def client(lab: Lab, name: str) -> tuple[ssl.SSLContext, str]:
    """A client with a certificate of the lab's authority, and the fingerprint as relay_clientcerts has it."""
    made = Authority.load(lab.directory / "ca").issue_client(name)
    context = client_context(
        Policy(),
        ca_file=lab.ca_file,
        verify="name",
        certificate_file=made.certificate_file,
        key_file=made.key_file,
    )
    return context, certificate_fingerprint(made.certificate.public_bytes(Encoding.DER))


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Without a certificate, with one of the right authority that is not listed, and with the listed one."""
    listed_one, fingerprint = client(lab, "branch.lab.example")
    stranger, _ = client(lab, "stranger.lab.example")
    with (lab.confdir("mailhost") / "relay_clientcerts").open("a") as table:
        table.write(f"{fingerprint}  branch\n")
    for context, who in ((lab.trust, "without a certificate"), (stranger, "with a certificate that is not listed")):
        refused = await relays(context, who, lab, evidence)
        if refused.code == 250:
            return exposed(f"{who}: {refused}")
        if (refused.code, refused.enhanced) != (554, "5.7.1"):
            raise ProbeFailed(f"{who}: {refused}")
    deadline = time.monotonic() + TABLE_SECONDS
    while (reply := await relays(listed_one, "with the listed certificate", lab, evidence)).code != 250:
        if time.monotonic() > deadline:
            raise ProbeFailed(f"with the listed certificate: {reply}")
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return hardened(f"the listed certificate relays; any other: {refused}")


BEHAVIOUR = Behaviour(
    slug="client-certificate-relay",
    title="A machine relays with its certificate, without a password",
    source="L 3.2.3 Sendmail (CERTIssuer ... RELAY)",
    why="A branch office has a changing address and no person who types a password. Its certificate proves who it is "
    "in the handshake, and only certificates whose fingerprint is in the table may relay.",
    configuration=(RELAY[0], Change("mailhost/main.cf", "permit_tls_clientcerts")),
    expectation="554 5.7.1 Relay access denied without that very certificate, 250 with it",
    probe=probe,
    given=RELAY,
    twin=Twin((restrictions("permit_tls_all_clientcerts"),), "any certificate of the authority relays"),
    shared=False,
)
