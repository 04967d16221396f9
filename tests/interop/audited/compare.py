"""Makes docs/audit-comparison.md: every server in both configurations, by the audit and by four scanners."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lab.audit.target import Target
from tests.interop.audited.mailers import DOMAIN, HOST, MAILERS, Mailer, resolver
from tests.interop.audited.network import Network, network
from tests.interop.audited.scanners import Seen, nmap, sslyze, swaks, testssl

ROOT = Path(__file__).parents[3]
SCANNERS = ("nmap", "testssl.sh", "sslyze", "swaks")
SETTLE_SECONDS = 5
"""Between two scanners: Exim has a process for each connection for a while yet, and room for twenty."""
SLOWLY = ("smtp", "imaps")
"""The doors that testssl.sh looks at: it takes minutes for each, and the others are the same servers again."""
CONFIGURATIONS = ("default", "hardened")

EXPLAINED: dict[tuple[str, str], str] = {
    ("nmap", "no-user-enumeration"): "nmap takes Postfix's `252` to VRFY of a known user for a no; the same VRFY of an "
    "unknown user is answered `550`, so names can be had.",
    ("testssl.sh", "dh-size"): "testssl.sh looks at the groups of DHE suites that have a certificate; OpenSSL takes "
    "1024 bits with anonymous suites alone, as nmap sees too.",
    ("testssl.sh", "certificate-name-mismatch"): "the certificate that Exim makes for itself has its name as common "
    "name alone. testssl.sh says so (`certificate-common-name`, as the audit), and calls it a mismatch as well.",
}
"""(scanner, rule): why one finds it and the other does not. A difference that is not here is an error of somebody's."""


def audited(side: Network, mailer: Mailer, rate: float) -> dict[str, dict[str, Any]]:
    """Target to what `hardmail audit --format json` says of it, from the stranger's side."""
    command = [
        *(sys.executable, "-m", "lab", "audit", "--format", "json", "--name", HOST, "--domain", DOMAIN),
        *("--recipient", f"root@{DOMAIN}", "--rate", str(rate)),
        *(["--ca-file", str(mailer.ca_file)] if mailer.ca_file else []),
        *mailer.targets,
    ]
    done = subprocess.run(side.at_stranger(*command), check=False, capture_output=True, cwd=ROOT)
    assert done.returncode in (0, 1), done.stderr.decode()
    return {entry["target"]: entry for entry in json.loads(done.stdout)["targets"]}


class Programs(NamedTuple):
    """The scanners that Debian has not, or not the newest."""

    testssl: str
    sslyze: str


@contextmanager
def running(name: str, configuration: str) -> Iterator[tuple[Network, Mailer]]:
    """A server in a network of its own."""
    place = Path(tempfile.mkdtemp(prefix="hm-"))
    place.chmod(0o755)
    try:
        with network() as side, resolver(side, place):
            with MAILERS[name](side, place, hardened=configuration == "hardened") as mailer:
                yield side, mailer
    finally:
        shutil.rmtree(place)


def looked(side: Network, mailer: Mailer, target: Target, tls: bool, programs: Programs) -> dict[str, Seen]:
    """What each scanner says of a target."""
    tools = {"nmap": lambda: nmap(side, target)}
    if tls and target.scheme in SLOWLY:
        tools["testssl.sh"] = lambda: testssl(side, target, programs.testssl, mailer.ca_file)
    if tls:
        tools["sslyze"] = lambda: sslyze(side, target, programs.sslyze, mailer.ca_file)
    if target.kind.protocol == "smtp":
        tools["swaks"] = lambda: swaks(side, target)
    seen = {}
    for name, look in tools.items():
        time.sleep(SETTLE_SECONDS)
        seen[name] = look()
    return seen


def measure(names: Sequence[str], programs: Programs, kept: Path | None) -> dict[str, Any]:
    """Everything: server and configuration -> target -> who -> what was seen. What is `kept` is not measured again."""
    results: dict[str, Any] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for name, configuration in itertools.product(names, CONFIGURATIONS):
        if f"{name} {configuration}" in results:
            continue
        with running(name, configuration) as (side, mailer):
            said = audited(side, mailer, rate=10)
            targets = {}
            for target in map(Target.parse, mailer.targets):
                print(f"{name} {configuration} {target}", file=sys.stderr, flush=True)
                audit = said[str(target)]
                seen = looked(side, mailer, target, "tls" in audit["facts"], programs)
                targets[str(target)] = {"audit": audit, **{tool: dataclasses.asdict(one) for tool, one in seen.items()}}
            results[f"{name} {configuration}"] = {"server": mailer.name, "targets": targets}
        if kept:
            kept.write_text(json.dumps(results, indent=1, default=sorted))
    return results


def suites(audit: dict[str, Any]) -> set[str]:
    return {name for names in audit["facts"].get("tls", {}).values() for name in names}


def compared(tool: str, audit: dict[str, Any], seen: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """A cell of the table, and the differences: (rule, who alone has found it)."""
    ours = {finding["id"] for finding in audit["findings"]}
    theirs, scope = set(seen["found"]), set(seen["scope"]) | set(seen["found"])
    both = ours & theirs
    only = [(rule, tool) for rule in sorted(theirs - ours)]
    only += [(rule, "audit") for rule in sorted((ours & scope) - theirs)]
    cell = f"{len(scope) - len(only)} of {len(scope)}, {len(both)} found"
    if seen["suites"] is not None:
        mine = suites(audit)
        unknown = set(seen["suites"]) - mine
        cell += f"; suites {len(mine & set(seen['suites']))} of {len(mine)}" + (
            f", and {len(unknown)}" if unknown else ""
        )
        only += [(name, tool) for name in sorted(unknown)]
    return cell, only


HEAD = """\
# The audit beside other scanners

Made by `python -m tests.interop.audited.compare` (as root, with nmap, testssl.sh, sslyze and swaks); do not edit.

Each server runs on its real ports in a network namespace of its own and is looked at from another one, so that it takes
the scanners for strangers. *Default* is Debian 12's configuration for an internet host: Postfix's main.cf and Dovecot's conf.d as
the packages bring them, with the self-signed certificate that ssl-cert makes; Exim's as update-exim4.conf writes it for an
"internet site", with room for 1,000 connections, as sslyze fills the usual 20; OpenSMTPD's smtpd.conf, listening on all addresses. *Hardened* follows the remedies that the audit names.
Debian's OpenSMTPD cannot use its own key with OpenSSL 3, so it has no TLS in either.

"15 of 16, 5 found" means: of sixteen things that the scanner looks for at this door, it and the audit say the same of fifteen, and
both have found five. "suites 57 of 59": of 59 cipher suites that the audit has found, the scanner has found 57 too, and no others.
"""


def page(results: dict[str, Any]) -> tuple[str, list[str]]:
    """The page, and the differences that nobody has explained."""
    lines = [HEAD]
    reasons: dict[tuple[str, str], set[str]] = {}
    unexplained: list[str] = []
    total = {tool: [0, 0, 0] for tool in SCANNERS}
    keys = [f"{name} {configuration}" for name in MAILERS for configuration in CONFIGURATIONS]
    for key, entry in ((key, results[key]) for key in keys if key in results):
        configuration = key.split()[-1]
        lines += [
            f"## {entry['server']}, {configuration}\n",
            "| target | the audit's findings | " + " | ".join(SCANNERS) + " |",
        ]
        lines.append("|---|---|" + "---|" * len(SCANNERS))
        for target, who in entry["targets"].items():
            audit = who["audit"]
            cells = []
            for tool in SCANNERS:
                if tool not in who:
                    cells.append("–")
                    continue
                cell, only = compared(tool, audit, who[tool])
                for rule, alone in only:
                    reasons.setdefault((tool, rule), set()).add(
                        f"{entry['server']}, {configuration}, {target}: {alone}"
                    )
                    if (tool, rule) not in EXPLAINED:
                        unexplained.append(f"{key} {target}: {rule} found by {alone} alone, not by {tool}" if alone == "audit"
                                           else f"{key} {target}: {rule} found by {alone} alone")  # fmt: skip
                for index, number in enumerate(map(int, re.findall(r"[0-9]+", cell)[:3])):
                    total[tool][index] += number
                cells.append(cell)
            found = [f"`{f['id']}` ({f['severity']})" for f in audit["findings"]]
            unsure = [f"could not tell: {name} ({why})" for name, why in audit["undecided"].items()]
            lines.append(f"| {target} | {'<br>'.join(found + unsure) or 'none'} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["## All together\n", "| scanner | says the same as the audit | found by both |", "|---|---|---|"]
    lines += [f"| {tool} | {agreed} of {of} | {both} |" for tool, (agreed, of, both) in total.items()]
    lines += ["", "## Differences\n"]
    for (tool, rule), places in sorted(reasons.items()):
        lines.append(f"- {tool}, `{rule}`: {EXPLAINED.get((tool, rule), 'not explained')}")
        lines += [f"  - {place} alone has found it" for place in sorted(places)]
    if not reasons:
        lines.append("None.")
    return "\n".join(lines) + "\n", unexplained


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.interop.audited.compare", description=__doc__)
    parser.add_argument("--testssl", default="testssl", help="the program testssl.sh")
    parser.add_argument("--sslyze", default="sslyze", help="the program sslyze")
    parser.add_argument("--only", action="append", choices=list(MAILERS), help="only this server; may be repeated")
    parser.add_argument("--results", type=Path, help="keep what was seen in this file, and go on from there")
    options = parser.parse_args()
    results = measure(options.only or list(MAILERS), Programs(options.testssl, options.sslyze), options.results)
    text, unexplained = page(results)
    print(text, end="")
    for line in unexplained:
        print(f"not explained: {line}", file=sys.stderr)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
