"""spf: mail in a domain's name comes from the machines that the domain lists in the DNS."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import extended
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import Reply, Transcript

FORGER, HELO = "127.0.0.90", "mx.outside.example"
SERVICE = "policyd-spf"

# The record of outside.example is part of the laboratory's zones; these domains show what else a record can say.
RECORDS = Change(
    "dns/outside.example.zone",
    "soft    A    127.0.0.3\n"
    'soft    TXT  "v=spf1 ~all"\n'
    "vague   A    127.0.0.3\n"
    'vague   TXT  "v=spf1 include:fault.outside.example -all"\n'
    'fault   TXT  "lab:servfail"',
)
SWITCHED_ON = (
    Change("mailhost/master.cf", f"{SERVICE}  unix  -  n  n  -  0  spawn\n  user=nobody argv=/usr/bin/policyd-spf"),
    extended("smtpd_recipient_restrictions", f"check_policy_service unix:private/{SERVICE}"),
    # All of the laboratory is one machine, whose own addresses are otherwise not asked about.
    Change("mailhost/main.cf", "hardmail_spf_skip_addresses ="),
)


async def send(lab: Lab, source: str, sender: str, token: str, evidence: Transcript) -> Reply:
    """One mail to alice; the first refusal, or the reply to the end of data."""
    async with await lab.smtp("mailhost.smtp", evidence, source=source) as smtp:
        await smtp.ehlo(HELO)
        return await smtp.send_message(sender, [lab.user("alice").address], lab.message(token))


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A forger; the domain's own server; a domain that is not sure; a record that cannot be read just now."""
    forged = await send(lab, FORGER, "friend@outside.example", lab.token(), evidence)
    if forged.code == 250:
        return exposed(f"{FORGER} sends in the name of outside.example: {forged}")
    if forged.code != 550 or forged.enhanced != "5.7.23":
        raise ProbeFailed(str(forged))
    for source, sender, result in (
        (STRANGER, "friend@outside.example", "pass"),
        (FORGER, "friend@soft.outside.example", "softfail"),
    ):
        token = lab.token()
        reply = await send(lab, source, sender, token, evidence)
        if reply.code != 250:
            raise ProbeFailed(f"{sender} from {source}: {reply}")
        mail = await lab.arrived(lab.user("alice"), token, evidence)
        header = next((line for line in mail.splitlines() if line.startswith(b"Received-SPF:")), b"").decode()
        if not header.startswith(f"Received-SPF: {result} "):
            raise ProbeFailed(f"{sender} from {source}: {header or 'no Received-SPF header'}")
        evidence.note(header)
    later = await send(lab, STRANGER, "friend@vague.outside.example", lab.token(), evidence)
    if later.code not in (450, 451) or later.enhanced != "4.7.24":
        raise ProbeFailed(f"a record that cannot be read just now: {later}")
    return hardened(forged)


BEHAVIOUR = Behaviour(
    slug="spf",
    title="Nobody sends in the name of a domain that does not list him",
    source="P Mailserver absichern (SPF)",
    why="Anybody can write any sender address. A domain's SPF record lists the machines that may send for it; a policy "
    "server asked by check_policy_service refuses the others, notes every other result in the header for filters, and "
    "puts mail off while the record cannot be read.",
    configuration=(
        Change("mailhost/master.cf", f"{SERVICE}  unix  -  n  n  -  0  spawn"),
        Change("mailhost/main.cf", f"check_policy_service unix:private/{SERVICE}"),
    ),
    expectation="550 5.7.23 for a fail; Received-SPF otherwise; 4.7.24 while the DNS fails",
    probe=probe,
    given=(RECORDS, *SWITCHED_ON),
    twin=Twin((extended("smtpd_recipient_restrictions"),), "the forged mail is taken"),
    shared=False,
)
