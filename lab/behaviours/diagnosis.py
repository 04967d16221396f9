"""diagnosis: one command looks at a server from outside and tells what of all this is missing, and how to mend it."""

from __future__ import annotations

import json
from typing import Any

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import Transcript

DOORS = ("smtp", "imap", "pop3")
# What the twin has turned, by the slug of the behaviour: all of it has to be found.
TURNED = {"no-open-relay", "auth-only-over-tls", "no-user-enumeration", "no-plaintext-login"}


async def audited(lab: Lab, form: str, *doors: str) -> tuple[int, str]:
    """The exit status and the report of an audit, as a stranger sees the mail host. Raises ProbeFailed."""
    targets = [f"{door}://{lab.where(f'mailhost.{door}')}" for door in doors]
    result = await lab.hardmail(
        "audit", *targets, "--format", form, "--source", STRANGER, "--name", lab.name,
        "--ca-file", str(lab.ca_file), "--rate", "500",
    )  # fmt: skip
    if result.status > 1:
        raise ProbeFailed(f"hardmail audit ends with {result.status}: {result.errors.strip()}")
    return result.status, result.output


def grave(report: dict[str, Any]) -> dict[str, str]:
    """Slug to what was seen, for findings of medium severity and above."""
    return {
        finding["behaviour"] or finding["id"]: f"{finding['severity']}: {finding['said']}"
        for target in report["targets"]
        for finding in target["findings"]
        if finding["severity"] in ("medium", "high", "critical")
    }


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Audit SMTP, IMAP and POP3; the report for people and the one for code scanners say the same."""
    status, report = await audited(lab, "json", *DOORS)
    found = grave(json.loads(report))
    for slug, said in found.items():
        evidence.note(f"{slug}: {said}")
    _, sarif = await audited(lab, "sarif", "pop3")
    if json.loads(sarif)["version"] != "2.1.0":
        raise ProbeFailed("no SARIF 2.1.0")
    _, text = await audited(lab, "text", "pop3")
    if lab.where("mailhost.pop3") not in text:
        raise ProbeFailed(f"the text does not name the server: {text[:200]}")
    if bool(found) != bool(status):
        raise ProbeFailed(f"exit status {status} with the findings {list(found)}")
    if not found:
        return hardened("exit 0: nothing of medium severity or above at SMTP, IMAP and POP3")
    if missed := TURNED - found.keys():
        raise ProbeFailed(f"not found: {', '.join(sorted(missed))}")
    return exposed(f"exit 1: {', '.join(sorted(found))}")


BEHAVIOUR = Behaviour(
    slug="diagnosis",
    title="One command tells what a server lacks",
    source="P Mailserver absichern (Regelmäßig die Funktionalität und Sicherheit testen); P SMTP Diagnose Tool",
    why="A setting that was right once is changed in haste, and nobody notices until it is used. An audit from outside "
    "sees what an attacker would see, names the line that mends it, and can be run every night: its exit status says "
    "whether something has come up.",
    configuration=(),
    expectation="exit 0 and no finding of medium severity or above; text, JSON and SARIF",
    probe=probe,
    twin=Twin(
        (
            Change(
                "mailhost/main.cf",
                "smtpd_tls_auth_only = no\ndisable_vrfy_command = no\n"
                "smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = permit",
            ),
            Change("mailhost/dovecot.conf", "disable_plaintext_auth = no\nssl = yes"),
        ),
        "exit 1: the open relay, plain-text log-ins and VRFY are found",
    ),
    shared=False,
)
