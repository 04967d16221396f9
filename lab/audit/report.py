"""What an audit has found: of each target the findings, the facts, and what could not be told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab.audit.finding import Finding, Rule, Severity


@dataclass(frozen=True, slots=True)
class Audited:
    """One target. `unreachable`: why it was not audited, "" if it was."""

    target: str
    address: str = ""
    findings: tuple[Finding, ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()
    undecided: tuple[tuple[str, str], ...] = ()
    unreachable: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All targets, in the order in which they were named."""

    targets: tuple[Audited, ...]
    seconds: float

    @property
    def findings(self) -> list[Finding]:
        return [finding for target in self.targets for finding in target.findings]

    def at_least(self, severity: Severity) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity >= severity]

    @property
    def rules(self) -> list[Rule]:
        """What was broken, each once."""
        return list({finding.rule.id: finding.rule for finding in self.findings}.values())


def as_json(report: Report) -> str:
    """Everything, for programs."""
    return json.dumps(
        {
            "seconds": round(report.seconds, 1),
            "targets": [
                {
                    "target": target.target,
                    "address": target.address,
                    "unreachable": target.unreachable or None,
                    "findings": [_finding(finding) for finding in target.findings],
                    "facts": dict(target.facts),
                    "undecided": dict(target.undecided),
                }
                for target in report.targets
            ],
        },
        indent=2,
    )


def _finding(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    return {
        "id": rule.id,
        "severity": finding.severity.word,
        "cwe": f"CWE-{rule.cwe}",
        "title": rule.title,
        "said": finding.said,
        "why": rule.why,
        "behaviour": rule.behaviour,
        "remedies": rule.mending(),
        "evidence": list(finding.evidence),
    }
