"""The report for people: the worst first, each with its evidence and the lines that mend it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from lab.audit.finding import Finding, Severity
from lab.audit.report import Audited, Report
from lab.audit.target import Target

STYLES = {
    Severity.INFO: "dim",
    Severity.LOW: "cyan",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "red",
    Severity.CRITICAL: "bold red",
}


def show(console: Console, report: Report, *, verbose: bool) -> None:
    """Print it. `verbose`: also the evidence, the facts, and observations that are no faults."""
    for target in report.targets:
        console.print(Text(f"{target.target} ({target.address})" if target.address else target.target, "bold"))
        if target.unreachable:
            console.print(Text(f"  not audited: {target.unreachable}", "bold red"))
        for finding in _chosen(target, verbose):
            for line, style in _finding(finding, target, verbose):
                console.print(Text(line, style), soft_wrap=True)
        for name, why in target.undecided:
            console.print(Text(f"  could not tell: {name}: {why}", "magenta"), soft_wrap=True)
        if verbose:
            for name, value in target.facts:
                console.print(Text(f"  {name}: {fact(value)}", "dim"), soft_wrap=True)
    console.print(Text(summary(report)))


def _chosen(target: Audited, verbose: bool) -> list[Finding]:
    return [finding for finding in target.findings if verbose or finding.severity > Severity.INFO]


def _finding(finding: Finding, target: Audited, verbose: bool) -> Iterator[tuple[str, str]]:
    rule = finding.rule
    yield f"  {finding.severity.word.upper():<8} {rule.id}: {rule.title} (CWE-{rule.cwe})", STYLES[finding.severity]
    yield f"           {finding.said}", ""
    if verbose:
        yield f"           {rule.why}", ""
        for line in finding.evidence:
            yield f"           | {line}", "dim"
    for product, lines in fitting(finding, target).items():
        for index, line in enumerate(lines.splitlines()):
            yield f"           {product + ':' if not index else '':<10} {line}", "green"


def fitting(finding: Finding, target: Audited) -> dict[str, str]:
    """The remedies for the product that the server says it is; else those for products that speak its protocol."""
    remedies = finding.rule.mending()
    product = dict(target.facts).get("product")
    if product in remedies:
        return {product: remedies[product]}
    mailboxes = Target.parse(target.target).kind.protocol != "smtp"
    return {name: lines for name, lines in remedies.items() if (name == "Dovecot") is mailboxes} or remedies


def summary(report: Report) -> str:
    """One line: how many of each severity."""
    counts = [(severity, sum(f.severity == severity for f in report.findings)) for severity in reversed(Severity)]
    told = ", ".join(f"{count} {severity.word}" for severity, count in counts if count) or "no findings"
    unreachable = sum(bool(target.unreachable) for target in report.targets)
    of_these = f", {unreachable} not audited" if unreachable else ""
    targets = "1 target" if len(report.targets) == 1 else f"{len(report.targets)} targets"
    return f"{told}; {targets}{of_these}, {report.seconds:.1f} s"


def fact(value: object) -> str:
    """A fact in one line."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {fact(entry)}".rstrip() for key, entry in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
