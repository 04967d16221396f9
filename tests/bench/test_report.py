"""The bench's arithmetic, table and plot."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report

FIGURES: report.Figures = {
    "2 KiB: accepted, mails/s": {"hardmail": [900.0, 1000.0, 1200.0], "postfix": [300.0, 500.0, 400.0]},
    "start: ms": {"hardmail": [400.0, 500.0], "postfix": [300.0, 250.0]},
    "unpaired": {"hardmail": [1.0]},
}


def test_ratios_are_of_the_rounds_and_above_one_is_better() -> None:
    accepted, start = report.rows(FIGURES)
    assert (accepted.hardmail, accepted.postfix) == (1000.0, 400.0)
    assert (accepted.worst, accepted.ratio, accepted.best) == (2.0, 3.0, 3.0)
    assert (start.worst, start.ratio, start.best) == (0.5, 0.625, 0.75)


def test_table() -> None:
    lines = report.table(report.rows(FIGURES)).splitlines()
    assert lines[2] == "| 2 KiB: accepted, mails/s | 1,000 | 400 | **3.00** | 2.00 .. 3.00 |"
    assert len(lines) == 4


def test_plot_is_svg_with_a_bar_for_each_ratio() -> None:
    root = ElementTree.fromstring(report.plot(report.rows(FIGURES)))
    bars = [element for element in root if element.tag.endswith("rect") and element.get("x")]
    widths = [float(bar.get("width", "0")) for bar in bars]
    assert widths == pytest.approx([report.WIDTH * 3 / report.LARGEST, report.WIDTH * 0.625 / report.LARGEST], abs=0.1)


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.update(document, "new\n")
    assert document.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
