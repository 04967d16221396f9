"""Delivery commands run as somebody who is not root, and where the kernel lets them."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest

from lab.behaviours.processes import HARDMAIL
from lab.sandbox import landlock
from tests.interop.test_exim import started
from tests.lab.conftest import wait_for

OUTSIDE = Path("/dev/shm")
NOBODY = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

MASTER = "qmgr unix n - n 300 1 qmgr\nlocal unix - n n - - local\nsmtp unix - - n - - smtp\n"


@pytest.mark.skipif(landlock.abi() == 0, reason="the kernel has no Landlock, and says so at every start")
@pytest.mark.parametrize(("confined", "status"), [("yes", "deferred"), ("no", "sent")])
def test_a_command_writes_only_where_delivery_may(place: Path, confined: str, status: str) -> None:
    target = OUTSIDE / f"{place.name}-{confined}"
    (place / "aliases").write_text(f'all: {place}/mbox, "|id -u >{place}/out/id; echo x >{target} || exit 75"\n')
    (place / "out").mkdir()
    for path in (place, place / "out"):
        path.chmod(0o777)
    (place / "main.cf").write_text(
        f"queue_directory = {place}/queue\ndata_directory = {place}/data\nmaillog_file = {place}/log\n"
        f"myhostname = mail.example.com\nmydestination = example.com\ninet_interfaces = 127.0.0.1\n"
        f"alias_maps = hash:{place}/aliases\ndefault_privs = {NOBODY}\nhardmail_landlock = {confined}\n"
    )
    (place / "master.cf").write_text(MASTER)
    try:
        with started([*HARDMAIL, "run", "-c", str(place)], place / "stderr", (place / "queue/public/qmgr").exists):
            command = [*HARDMAIL, "sendmail", "-C", str(place), "all@example.com"]
            subprocess.run(command, input=b"Subject: x\n\nbody\n", check=True, timeout=30)
            log = place / "log"
            wait_for(lambda: log.exists() and log.read_text().count(" status=") > 1, "two deliveries")
            assert re.findall(r" status=(\w+) ", log.read_text())[:2] == ["sent", status]
            assert (place / "mbox").stat().st_uid == pwd.getpwnam(NOBODY).pw_uid
            assert int((place / "out/id").read_text()) == pwd.getpwnam(NOBODY).pw_uid != 0
            assert target.exists() == (status == "sent")
    finally:
        target.unlink(missing_ok=True)
