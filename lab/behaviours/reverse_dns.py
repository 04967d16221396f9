"""reverse-dns: a client whose address has no name, or a false one, is put off."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import extended
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import Reply, Transcript

# Addresses that the lab's reverse zone treats differently.
NAMELESS, LIAR = "127.0.0.70", "127.0.0.71"


async def recipient_from(source: str, helo: str, lab: Lab, evidence: Transcript) -> Reply:
    """The reply to RCPT TO for a client at `source`."""
    async with await lab.smtp("mailhost.smtp", evidence, source=source) as smtp:
        await smtp.ehlo(helo)
        await smtp.command("MAIL FROM:<friend@outside.example>")
        return await smtp.command(f"RCPT TO:<{lab.user('alice').address}>")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """No name; a name that leads elsewhere; a HELO name that the DNS does not know; everything in order."""
    cases = (
        (NAMELESS, "mx.outside.example", "cannot find your reverse hostname"),
        (LIAR, "mx.outside.example", "cannot find your hostname"),
        (STRANGER, "nosuch.outside.example", "Host not found"),
    )
    said = []
    for source, helo, text in cases:
        reply = await recipient_from(source, helo, lab, evidence)
        if reply.code == 250:
            return exposed(f"{source} says EHLO {helo}: {reply}")
        if reply.code != 450 or text not in reply.text:
            raise ProbeFailed(f"{source} says EHLO {helo}: {reply}")
        said.append(text)
    reply = await recipient_from(STRANGER, "mx.outside.example", lab, evidence)
    if reply.code != 250:
        raise ProbeFailed(f"a client whose names are in order: {reply}")
    return hardened("450 " + ", ".join(said))


NAMES = Change(
    "mailhost/main.cf",
    "smtpd_client_restrictions =\n"
    "  permit_mynetworks,\n"
    "  permit_sasl_authenticated,\n"
    "  reject_unknown_reverse_client_hostname,\n"
    "  reject_unknown_client_hostname",
)

BEHAVIOUR = Behaviour(
    slug="reverse-dns",
    title="A client's address has a name, and the name leads back to it",
    source="P Mailserver absichern (Reverse DNS LookUp); P Konfiguration für postfix",
    why="Infected home computers have no name in the DNS, or one that its owner does not confirm. The lookup goes from "
    "the address to the name and back again. The refusal is temporary: a name server may be out of order.",
    configuration=(NAMES, Change("mailhost/main.cf", "reject_unknown_helo_hostname")),
    expectation="450 Client host rejected: cannot find your (reverse) hostname; 450 4.7.1 Host not found",
    probe=probe,
    given=(NAMES, extended("smtpd_recipient_restrictions", "reject_unknown_helo_hostname")),
    twin=Twin(
        (
            Change("mailhost/main.cf", "smtpd_client_restrictions ="),
            extended("smtpd_recipient_restrictions"),
        ),
        "clients without a name are served",
    ),
    shared=False,
)
