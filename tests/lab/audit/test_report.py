"""The report in its four forms."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path

import fastjsonschema
import pytest
from rich.console import Console

from lab.audit.checks import RULES
from lab.audit.finding import Finding, Rule, Severity
from lab.audit.page import as_html
from lab.audit.report import Audited, Report, as_json
from lab.audit.sarif import as_sarif
from lab.audit.text import fitting, show
from lab.behaviours.catalogue import SLUGS

SCHEMA = json.loads((Path(__file__).parent / "sarif-schema-2.1.0.json").read_text())


def report(*rules: Rule) -> Report:
    findings = tuple(
        Finding(rule, "smtp://h:25", rule.severity, f"said <of> {rule.id}", ("C: x", "S: y")) for rule in rules
    )
    good = Audited(
        "smtp://h:25",
        "10.0.0.1",
        findings,
        (("product", "Postfix"), ("tls", {"TLSv1.2": ["A", "B"]})),
        (("limits", "no"),),
    )
    return Report((good, Audited("imap://h:143", unreachable="connection refused")), 1.25)


def shown(what: Report, *, verbose: bool) -> str:
    output = io.StringIO()
    show(Console(file=output, highlight=False, markup=False, width=80), what, verbose=verbose)
    return output.getvalue()


@pytest.mark.parametrize("rules", [(), RULES[:1], RULES])
def test_sarif_keeps_to_its_schema(rules: tuple[Rule, ...]) -> None:
    document = json.loads(as_sarif(report(*rules)))
    fastjsonschema.compile(SCHEMA)(document)
    [run] = document["runs"]
    assert [result["ruleId"] for result in run["results"]] == [rule.id for rule in rules]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 2


def test_sarif_names_a_link_local_target_by_a_valid_uri() -> None:
    """RFC 6874: the percent sign before the interface is written %25."""
    target = "smtp://[fe80::1%eth0]:25"
    found = Finding(RULES[0], target, RULES[0].severity, "said")
    document = json.loads(as_sarif(Report((Audited(target, findings=(found,)),), 1.0)))
    [location] = document["runs"][0]["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "smtp://[fe80::1%25eth0]:25"


def test_json_has_everything() -> None:
    first, second = json.loads(as_json(report(*RULES)))["targets"]
    assert [finding["id"] for finding in first["findings"]] == [rule.id for rule in RULES]
    assert first["facts"]["tls"] == {"TLSv1.2": ["A", "B"]}
    assert first["undecided"] == {"limits": "no"}
    assert second["unreachable"] == "connection refused"


def test_text_is_short_unless_asked() -> None:
    rules = [rule for rule in RULES if rule.severity in (Severity.INFO, Severity.HIGH)]
    short, long = (shown(report(*rules), verbose=verbose) for verbose in (False, True))
    assert "S: y" not in short and "S: y" in long
    for rule in rules:
        assert (f"{rule.id}: " in short) is (rule.severity > Severity.INFO)
        assert f"{rule.id}: " in long
    assert "not audited: connection refused" in short
    assert "could not tell: limits: no" in short


def test_remedies_are_those_of_the_product_or_the_protocol() -> None:
    rule = next(rule for rule in RULES if rule.id == "helo-checks")
    text = shown(report(rule), verbose=False)
    assert "smtpd_helo_required = yes" in text
    assert "acl_check_mail" not in text


@pytest.mark.parametrize(
    ("target", "ours"), [("imap://h:143", {"Dovecot"}), ("smtp://h:25", {"Postfix", "Exim", "sendmail", "OpenSMTPD"})]
)
def test_remedies_of_an_unknown_server_are_those_of_its_protocol(target: str, ours: set[str]) -> None:
    rule = next(rule for rule in RULES if rule.id == "starttls-missing")
    finding = Finding(rule, target, rule.severity, "said")
    assert set(fitting(finding, Audited(target, findings=(finding,)))) == ours


class Page(HTMLParser):
    """Notes every element and every address that the page names."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe")
        if tag != "meta":
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    text = as_html(report(*RULES))
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert all(link.startswith("https://cwe.mitre.org/data/definitions/") for link in page.links)
    assert "said &lt;of&gt;" in text


def test_every_rule_says_what_why_and_how() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.title and rule.why.endswith((".", ")")), rule.id
        assert rule.cwe > 0
        assert rule.mending(), rule.id
        assert all(lines.strip() for lines in rule.mending().values()), rule.id
        assert rule.behaviour in (None, rule.id)
        assert rule.behaviour is None or rule.behaviour in SLUGS
