"""kernel-jail: code inside the running IMAP process cannot open a file outside the mail root.

The continuous integration runs this as root and as an ordinary user.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent.parent
SECRETS = ("/etc/passwd", "/etc/hostname", "/proc/1/environ")


def intrude(place: Path, *changes: str) -> dict[str, Any]:
    """Bring the mail host up with an intruder in its IMAP process; the intruder's report."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "INTRUDER_FILES": os.pathsep.join(SECRETS),
        "XDG_RUNTIME_DIR": str(place),
    }
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("intruded.py")), "up", "--json", "--instance", "mailhost",
         "--dir", str(place / "lab"), *(word for change in changes for word in ("--set", change))],
        stdout=subprocess.PIPE, env=environment,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert line, "the stack did not start"
    mail_root = Path(json.loads(line)["instances"]["mailhost"]["mail_root"])
    report: dict[str, Any] = json.loads((mail_root / "intruder.json").read_text())
    assert report["files"][str(mail_root)] == "opened", "the process cannot even reach its mail"
    return report


def test_nothing_outside_can_be_opened(place: Path) -> None:
    report = intrude(place)
    assert report["uid"] != 0
    assert {report["files"][file] for file in SECRETS} == {"Permission denied"}


def test_without_the_jail_it_can(place: Path) -> None:
    report = intrude(place, "mailhost/dovecot.conf:hardmail_landlock = no")
    assert report["files"]["/etc/passwd"] == "opened"
