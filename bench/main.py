"""hardmail against Postfix, in alternation on this machine: ratios with their spread, a table and a plot.

    bench/run                          every measure, five rounds (about ten minutes; root, and Debian's postfix)
    bench/run --only accept --rounds 9
    bench/run --write                  also puts the table into docs/performance.md and the plot beside it

Only a ratio from one run means anything: both servers meet the same machine within seconds of each other, in turns.
Generator and sink are Postfix's smtp-source(1) and smtp-sink(1) for both; the standard library is all that is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

from bench import measures, report, servers

DOCS = Path(__file__).parent.parent / "docs"


def main() -> int:
    """Parse the command line, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that each server has its turn (default: 5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="measures whose name contains TEXT")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of messages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    parser.add_argument("--write", action="store_true", help="update docs/performance.md and docs/performance.svg")
    options = parser.parse_args()
    missing = [name for name in ("postfix", "smtp-source", "smtp-sink") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        print(f"bench: needs root and Debian's postfix (missing: {', '.join(missing) or 'root'})", file=sys.stderr)
        return os.EX_UNAVAILABLE
    figures = measure(options.rounds, options.only, options.scale)
    if options.json:
        options.json.write_text(json.dumps({"conditions": conditions(), "figures": figures}, indent=1))
    rows = report.rows(figures)
    print(report.table(rows))
    if options.write:
        report.update(DOCS / "performance.md", f"{report.table(rows)}\n\n{conditions()}\n")
        (DOCS / "performance.svg").write_text(report.plot(rows))
    return os.EX_OK


def measure(rounds: int, only: str, scale: float) -> report.Figures:
    """`figures[measure][server]`: one value for each round."""
    figures: report.Figures = {}
    for number in range(rounds):
        for name, take in measures.MEASURES.items():
            if only not in name:
                continue
            order = servers.SERVERS if number % 2 == 0 else servers.SERVERS[::-1]
            for kind in order:
                for detail, value in take(kind, scale).items():
                    title = f"{name}: {detail}" if detail else name
                    figures.setdefault(title, {}).setdefault(kind.name, []).append(value)
                    print(f"  {number + 1}/{rounds}  {title:44s} {kind.name:10s} {value:10.1f}", file=sys.stderr)
    return figures


def conditions() -> str:
    """Under which the figures are true."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Measured {time.strftime('%Y-%m-%d')}: {os.cpu_count()} processors, Linux {platform.release()}, "
        f"Python {servers.python_version()}, Postfix {servers.postfix_version()}; load averages at the end {load}."
    )


if __name__ == "__main__":
    sys.exit(main())
