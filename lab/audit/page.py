"""The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from lab.audit.finding import Finding
from lab.audit.report import Audited, Report
from lab.audit.text import fact, fitting, summary

HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>hardmail audit</title>
<style>
:root { color-scheme: light dark; --line: #8886; --low: #0a7ea4; --medium: #b26a00; --high: #c62828; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; overflow-wrap: anywhere; }
article { border-left: .3rem solid var(--line); padding: .1rem 1rem; margin: 1rem 0; }
.low { border-color: var(--low); } .medium { border-color: var(--medium); }
.high, .critical { border-color: var(--high); }
b { text-transform: uppercase; font-size: .8rem; letter-spacing: .05em; }
pre { overflow-x: auto; padding: .5rem; border: 1px solid var(--line); }
td, th { text-align: left; vertical-align: top; padding: .1rem 1rem .1rem 0; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>hardmail audit</h1>
"""


def as_html(report: Report) -> str:
    """The whole page. Everything that a server has said is escaped."""
    parts = [HEAD, f"<p>{escape(summary(report))}</p>"]
    for target in report.targets:
        parts += _target(target)
    return "\n".join([*parts, "</body>\n</html>\n"])


def _target(target: Audited) -> Iterator[str]:
    yield f"<h2>{escape(target.target)}</h2>"
    if target.unreachable:
        yield f"<p>Not audited: {escape(target.unreachable)}</p>"
    elif not target.findings:
        yield "<p>No findings.</p>"
    for finding in target.findings:
        yield from _finding(finding, target)
    for name, why in target.undecided:
        yield f"<p>Could not tell: {escape(name)}: {escape(why)}</p>"
    if target.facts:
        yield "<details><summary>What was learned</summary><table>"
        for name, value in target.facts:
            yield f"<tr><th>{escape(name)}</th><td>{escape(fact(value))}</td></tr>"
        yield "</table></details>"


def _finding(finding: Finding, target: Audited) -> Iterator[str]:
    rule = finding.rule
    cwe = f'<a href="https://cwe.mitre.org/data/definitions/{rule.cwe}.html">CWE-{rule.cwe}</a>'
    yield f'<article class="{finding.severity.word}">'
    yield f"<h3>{escape(rule.title)}</h3>"
    yield f"<p><b>{finding.severity.word}</b> <code>{escape(rule.id)}</code> {cwe}</p>"
    yield f"<p>{escape(finding.said)}</p><p>{escape(rule.why)}</p>"
    for product, lines in fitting(finding, target).items():
        yield f"<p>{escape(product)}</p><pre>{escape(lines)}</pre>"
    if finding.evidence:
        evidence = "\n".join(map(escape, finding.evidence))
        yield f"<details><summary>Evidence</summary><pre>{evidence}</pre></details>"
    yield "</article>"
