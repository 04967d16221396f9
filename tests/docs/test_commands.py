"""Every command that README and docs show is run, or it is written down why not (commands.toml)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.commands import Ways, shown
from tests.docs.markdown import ROOT

SECONDS = 120
SHOWN, WAYS = list(shown()), Ways()
RUN = [entry for entry in SHOWN if WAYS.why_not(entry.command) is None]


class Place:
    """A directory with a laboratory in it, and the environment of its commands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "bin").mkdir()
        (path / "run").mkdir(mode=0o700)
        for name in ("bin/hardmail", "hardmail"):
            (path / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lab "$@"\n')
            (path / name).chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{path}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": str(path / "run"),
        }

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line of shell, to its end."""
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.path, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    path = Path(tempfile.mkdtemp(prefix="hm-"))
    path.chmod(0o755)
    made = Place(path)
    up = made.run("hardmail up --clock --dir lab --detach --json --set 'mailhost/main.cf:relay_domains = far.example'")
    assert up.returncode == 0, up.stderr
    endpoints = json.loads(up.stdout)["instances"]["mailhost"]["endpoints"]
    for name in ("smtp", "imaps"):
        made.environment[name.upper()] = "{}:{}".format(*endpoints[name])
    yield made
    made.run("hardmail stop --dir lab")
    shutil.rmtree(path)


@pytest.mark.slow
@pytest.mark.parametrize("entry", RUN, ids=lambda entry: f"{entry.page}: {entry.command}"[:100])
def test_command(entry: object, place: Place) -> None:
    line = WAYS.line(entry.command)  # type: ignore[attr-defined]  # a Shown
    done = place.run(line)
    if (place.path / "own").exists():
        place.run("hardmail stop --dir own; rm -rf own")
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_nothing_is_written_down_in_vain() -> None:
    assert WAYS.unused([entry.command for entry in SHOWN]) == []


def test_most_commands_are_run() -> None:
    assert len(RUN) > 30
