"""config-check: a configuration is checked before it runs, and what opens a hole is named with its source."""

from __future__ import annotations

import os

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

# A line that opens a hole, and the behaviour that `hardmail check` then names.
DANGEROUS = (
    ("smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = permit", "no-open-relay"),
    ("mynetworks = 0.0.0.0/0", "trusted-networks"),
    ("smtp_tls_security_level = may\nsmtp_sasl_security_options = noanonymous", "smarthost-auth"),
)
BROKEN = "smtpd_recipient_restrictions = reject_everything_bad"


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The profile as it is, with a dangerous line, and with an error."""
    clean = await lab.hardmail("check", "-c", str(lab.confdir("nullclient")))
    if clean.status != os.EX_OK or "danger:" in clean.output:
        raise ProbeFailed(f"the hardened profile: exit {clean.status}: {clean.output}")
    for lines, slug in DANGEROUS:
        confdir = lab.copy_of("nullclient", f"127.0.0.1:{lab.free_port()} inet n - n - - smtpd\n", main=lines)
        result = await lab.hardmail("check", "-c", str(confdir))
        named = [line for line in result.output.splitlines() if line.startswith("danger:") and slug in line]
        if not named:
            return exposed(f"{lines.splitlines()[0]}: nothing is said")
        evidence.note(named[0])
    confdir = lab.copy_of("nullclient", f"127.0.0.1:{lab.free_port()} inet n - n - - smtpd\n", main=BROKEN)
    broken = await lab.hardmail("check", "-c", str(confdir))
    evidence.note(f"{BROKEN}: exit {broken.status}: {broken.output.strip()}")
    if broken.status == os.EX_OK or "reject_everything_bad" not in broken.output:
        return exposed("a restriction that does not exist passes")
    return hardened(named[0])


BEHAVIOUR = Behaviour(
    slug="config-check",
    title="Settings are tested before they are in force",
    source="P Mailserver absichern (Alle Einstellungen vorher testen)",
    why="Each setting may be right by itself and the whole still be open. hardmail check reads a configuration without "
    "running it, tells errors with file and line, and names dangerous combinations with the section that says why.",
    configuration=(Change("nullclient/main.cf", "mynetworks = 127.0.0.0/8 [::1]/128"),),
    expectation="errors with file and line, exit 78; dangerous combinations named with the behaviour and the source",
    probe=probe,
    instances=("nullclient",),
)
