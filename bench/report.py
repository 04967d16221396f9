"""Figures become ratios with their spread, a table and a plot. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from html import escape
from pathlib import Path

Figures = dict[str, dict[str, list[float]]]

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
LOWER_IS_BETTER = ("ms", "MiB", "KiB for")
"""In a figure's name: less of it is better, and the ratio is turned round."""


@dataclass(frozen=True)
class Row:
    """One figure of both servers, and how many times better hardmail is: above 1 it wins."""

    title: str
    hardmail: float
    postfix: float
    ratio: float
    worst: float
    best: float


def rows(figures: Figures) -> list[Row]:
    """Medians, and the median of the ratios of each round with the range of these."""
    found = []
    for title, by_server in figures.items():
        pairs = list(zip(by_server.get("hardmail", []), by_server.get("postfix", []), strict=False))
        if not pairs:
            continue
        turned = lower_is_better(title)
        ratios = [theirs / ours if turned else ours / theirs for ours, theirs in pairs]
        ours, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
        found.append(Row(title, ours, theirs, statistics.median(ratios), min(ratios), max(ratios)))
    return found


def lower_is_better(title: str) -> bool:
    unit = title.rpartition(": ")[2]
    return any(word in unit for word in LOWER_IS_BETTER)


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(found: list[Row]) -> str:
    """Markdown."""
    lines = ["| | hardmail | Postfix | times better | from .. to |", "|---|--:|--:|--:|--:|"]
    for row in found:
        spread = f"{number(row.worst)} .. {number(row.best)}"
        lines.append(
            f"| {row.title} | {number(row.hardmail)} | {number(row.postfix)} | **{number(row.ratio)}** | {spread} |"
        )
    return "\n".join(lines)


def update(path: Path, text: str) -> None:
    """Put the text between the two marks of a document."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


LEFT, WIDTH, LINE, TOP = 330, 420, 26, 40
LARGEST = 5.0
"""The ratio at the right edge; a longer bar is cut, its figure stands beside it."""


def plot(found: list[Row]) -> str:
    """A bar for each ratio with its range, a line at 1 for Postfix; SVG."""
    height = TOP + LINE * len(found) + 10
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{LEFT + WIDTH + 70}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_x(1):.1f}" y="22" text-anchor="middle">Postfix = 1; to the right hardmail is better</text>',
    ]
    for place, row in enumerate(found):
        y = TOP + LINE * place
        colour = "#2f7d4f" if row.ratio >= 1 else "#b5533c"
        out += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(row.title)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{_x(row.ratio) - LEFT:.1f}" height="14" fill="{colour}"/>',
            f'<path d="M{_x(row.worst):.1f} {y + 10}H{_x(row.best):.1f}" stroke="#222222" stroke-width="2"/>',
            f'<text x="{_x(max(row.ratio, row.best)) + 6:.1f}" y="{y + 14}">{number(row.ratio)}</text>',
        ]
    out += [f'<path d="M{_x(1):.1f} 28V{height - 6}" stroke="#222222" stroke-dasharray="3 3"/>', "</svg>"]
    return "\n".join(out) + "\n"


def _x(ratio: float) -> float:
    return LEFT + WIDTH * min(ratio, LARGEST) / LARGEST
