"""`dovecot-uidvalidity`: the counter from which new mailboxes of a user take their UIDVALIDITY.

The counter stands in the name of an empty file `dovecot-uidvalidity.XXXXXXXX` (eight hex digits), which is renamed
from one value to the next, so that two processes can never take the same one; the plain file repeats it. Without
either, it starts at the time of day.
"""

import re
import time

from imap.store.jail import Directory

NAME = "dovecot-uidvalidity"
_COUNTER = re.compile(re.escape(NAME) + r"\.([0-9a-f]{8})")


def following(control: Directory) -> int:
    """Take the next UIDVALIDITY: above every earlier one, and at least the time of day in seconds."""
    while True:
        counters = sorted(name for name in control.names() if _COUNTER.fullmatch(name))
        last = int(counters[-1].rpartition(".")[2], 16) if counters else _plain(control)
        value = min(max(last + 1, int(time.time())), 0xFFFFFFFF)
        name = f"{NAME}.{value:08x}"
        try:
            if counters:
                control.rename(counters[-1], control, name)
            else:
                control.write(name, b"", sync=False)
        except (FileNotFoundError, FileExistsError):
            continue  # another process took it first
        for stale in counters[:-1]:
            control.unlink(stale, missing_ok=True)
        temporary = f"{NAME}.tmp{value:08x}"
        control.unlink(temporary, missing_ok=True)
        control.write(temporary, b"%08x" % value, sync=False)
        control.rename(temporary, control, NAME)
        return value


def _plain(control: Directory) -> int:
    try:
        text = control.read(NAME, limit=64).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return 0
    return int(text, 16) if re.fullmatch(r"[0-9a-f]{1,8}", text) else 0
