"""The report as SARIF 2.1.0 (OASIS), which code hosts and dashboards read."""

from __future__ import annotations

import json
from typing import Any, Final

from lab import __version__
from lab.audit.finding import Finding, Rule, Severity
from lab.audit.report import Report

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS: Final = {
    Severity.INFO: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
SCORES: Final = {
    Severity.INFO: "0.0",
    Severity.LOW: "3.0",
    Severity.MEDIUM: "5.5",
    Severity.HIGH: "8.0",
    Severity.CRITICAL: "9.5",
}
"""`security-severity`, on the scale of CVSS."""


def as_sarif(report: Report) -> str:
    """One run; a rule for each kind of finding, a result for each finding, a notification where a check failed."""
    rules = report.rules
    index = {rule.id: number for number, rule in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": "hardmail audit",
                "semanticVersion": __version__,
                "rules": [_rule(rule) for rule in rules],
                "taxa": [],
                "supportedTaxonomies": [{"name": "CWE", "index": 0}],
            }
        },
        "taxonomies": [
            {
                "name": "CWE",
                "organization": "MITRE",
                "taxa": [{"id": str(number)} for number in sorted({rule.cwe for rule in rules})],
            }
        ],
        "results": [_result(finding, index[finding.rule.id]) for finding in report.findings],
        "invocations": [
            {
                "executionSuccessful": not any(target.unreachable for target in report.targets),
                "toolExecutionNotifications": [
                    {"level": "warning", "message": {"text": f"{target.target}: {text}"}}
                    for target in report.targets
                    for text in _notices(target.unreachable, target.undecided)
                ],
            }
        ],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _notices(unreachable: str, undecided: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"not audited: {unreachable}"] * bool(unreachable) + [f"{name}: {why}" for name, why in undecided]


def _rule(rule: Rule) -> dict[str, Any]:
    remedies = "\n\n".join(f"{product}:\n{lines}" for product, lines in rule.mending().items())
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": remedies or rule.why},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {
            "security-severity": SCORES[rule.severity],
            "tags": ["security", f"external/cwe/cwe-{rule.cwe}"],
        },
        "relationships": [
            {"target": {"id": str(rule.cwe), "toolComponent": {"name": "CWE", "index": 0}}, "kinds": ["superset"]}
        ],
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.target}: {finding.said}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": finding.target.replace("%", "%25")}},
                "logicalLocations": [{"fullyQualifiedName": finding.target, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"target/v1": f"{finding.target} {finding.rule.id}"},
        "properties": {"evidence": list(finding.evidence), "severity": finding.severity.word},
    }
