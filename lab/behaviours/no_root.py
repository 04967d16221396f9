"""no-root: no process that talks to the network runs as root, and no data file belongs to root."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


def user_ids(pid: int) -> set[int]:
    """Real, effective, saved and file system user id of a process (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^Uid:\s+(.*)$", status, re.M)
    if match is None:
        raise ProbeFailed(f"process {pid} has no Uid line")
    return set(map(int, match.group(1).split()))


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Look at every service process of the running stack, and at the owners of its queue and mail."""
    services = lab.service_processes()
    if not services:
        raise ProbeFailed("no service process was found")
    for pid, name in services.items():
        ids = user_ids(pid)
        evidence.note(f"{name}: process {pid} runs with user ids {sorted(ids)}")
        if 0 in ids:
            return exposed(f"{name} (process {pid}) runs as root")
    for directory in (lab.queue_directory("mailhost"), lab.maildir("alice")):
        for root, _, files in os.walk(directory):
            for name in files:
                if Path(root, name).lstat().st_uid == 0:
                    return exposed(f"{Path(root, name).relative_to(lab.directory)} belongs to root")
    return hardened(f"{len(services)} service processes, none as root; no queue or mail file belongs to root")


BEHAVIOUR = Behaviour(
    slug="no-root",
    title="Nothing that talks to the network is root",
    source="L 3.2.2 Sicherheit der Dienste",
    why="A fault in a process that runs as root gives away the machine. Root binds the ports and reads the "
    "keys; whoever talks to the network has given that up for good.",
    configuration=(Change("mailhost/master.cf", "smtpd"),),
    expectation="every service process has given up root; data files are not owned by root",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
