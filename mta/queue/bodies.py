"""Contents that are files of their own: what a crash left behind is cleared away."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import Final

from mta.queue import layout, schema
from mta.queue.ids import is_queue_id
from mta.queue.store import Queue

logger = logging.getLogger("postfix.qmgr")

ORPHAN_AGE: Final = 3600.0
"""Seconds: a younger file may belong to a message that is being written at this moment."""


def remove_orphans(queue: Queue) -> int:
    """Remove files without a message: the writer died between file and row, so nobody was promised anything."""
    directory = queue.directory / layout.BODIES
    with os.scandir(directory) as entries:
        names = {entry.name: entry.stat(follow_symlinks=False).st_mtime for entry in entries}
    if not names:
        return 0
    removed = 0
    # Under the lock nobody commits: whoever has written a file looks whether it is still there before he names it.
    with schema.locked(queue.directory / layout.WRITE_LOCK):
        known = queue.queue_ids()
        for name, modified in names.items():
            stem = name.removesuffix(".tmp")
            if not is_queue_id(stem) or (stem in known and stem == name) or time.time() - modified < ORPHAN_AGE:
                continue
            with contextlib.suppress(FileNotFoundError):
                (directory / name).unlink()
                removed += 1
    if removed:
        logger.info("removed %d contents without a message", removed)
    return removed
