"""Lab 12.1 with the real telnet and Lab 12.2 with the real smtptest, typed into a terminal as a student does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.exercises import find

SCRIPT = Path(__file__).parents[2] / "docs" / "lab_transcripts.py"
SECONDS = 400


@pytest.mark.slow
@pytest.mark.interop
@pytest.mark.needs("tmux", "tmux")
@pytest.mark.needs("telnet", "telnet")
@pytest.mark.needs("smtptest", "cyrus-clients")
def test_the_labs_can_be_worked_through_with_the_real_tools(place: Path) -> None:
    subprocess.run([sys.executable, str(SCRIPT), str(place)], check=True, timeout=SECONDS)
    outside, sent = ((place / f"lab-{slug}.txt").read_text() for slug in ("12.1", "12.2"))
    for slug, text in (("12.1", outside), ("12.2", sent)):
        steps = len(find(slug).steps)
        assert f"\n0 of {steps} steps pass.\n" in text
        assert f"\n{steps} of {steps} steps pass.\n" in text
    assert "$ telnet -b 127.0.0.3 127.0.0.2 " in outside
    assert "Relay access denied" in outside
    assert "$ smtptest -t " in sent
    assert "\nAuthenticated.\n" in sent
    assert "(Authenticated sender: " in sent
    assert "<password>" in sent
