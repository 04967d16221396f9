"""A private instance of real Postfix on loopback: its own directories, its own ports, ended by its own command."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import peers

QUEUE_DIRECTORIES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid", "private",
    "public", "saved", "trace",
)  # fmt: skip
SERVICES = """\
pickup    unix  n  -  n  60     1  pickup
cleanup   unix  n  -  n  -      0  cleanup
qmgr      unix  n  -  n  300    1  qmgr
tlsmgr    unix  -  -  n  1000?  1  tlsmgr
rewrite   unix  -  -  n  -      -  trivial-rewrite
bounce    unix  -  -  n  -      0  bounce
defer     unix  -  -  n  -      0  bounce
trace     unix  -  -  n  -      0  bounce
verify    unix  -  -  n  -      1  verify
proxymap  unix  -  -  n  -      -  proxymap
smtp      unix  -  -  n  -      -  smtp
relay     unix  -  -  n  -      -  smtp
error     unix  -  -  n  -      -  error
retry     unix  -  -  n  -      -  error
discard   unix  -  -  n  -      -  discard
local     unix  -  n  n  -      -  local
lmtp      unix  -  -  n  -      -  lmtp
anvil     unix  -  -  n  -      1  anvil
scache    unix  -  -  n  -      1  scache
postlog   unix-dgram n - n -    1  postlogd
"""


@contextmanager
def running(postfix: str, directory: Path, listeners: str, main: str) -> Iterator[Path]:
    """Start Postfix in `directory` with these smtpd lines and these settings; its queue directory."""
    conf, queue, data = directory / "conf", directory / "queue", directory / "data"
    owner, drop = pwd.getpwnam("postfix"), grp.getgrnam("postdrop").gr_gid
    for path in (directory, conf, queue, data):
        path.mkdir(mode=0o755, exist_ok=True)
        path.chmod(0o755)
    os.chown(data, owner.pw_uid, owner.pw_gid)
    for name in QUEUE_DIRECTORIES:
        path = queue / name
        path.mkdir(exist_ok=True)
        if name != "pid":
            os.chown(path, owner.pw_uid, drop if name in ("maildrop", "public") else 0)
        path.chmod({"maildrop": 0o1730, "public": 0o2710, "pid": 0o755}.get(name, 0o700))
    (conf / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\n"
        f"maillog_file = {directory}/mail.log\nmaillog_file_prefixes = {directory}\nalias_maps =\nalias_database =\n"
        f"inet_interfaces = loopback-only\n{main}"
    )
    (conf / "master.cf").write_text(listeners + SERVICES)
    peers.age(conf / "main.cf")
    start = subprocess.run([postfix, "-c", str(conf), "start"], check=False, capture_output=True, timeout=30)
    log = directory / "mail.log"
    assert start.returncode == 0, start.stderr.decode() + (log.read_text() if log.exists() else "")
    try:
        yield queue
    finally:
        subprocess.run([postfix, "-c", str(conf), "stop"], check=False, capture_output=True, timeout=30)
