"""Runs a piece of Python on a small file system of its own: a tmpfs in a mount namespace that ends with it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MOUNT = 'mount -t tmpfs -o "$0" tmpfs "$1" && exec "$2" -c "$3" "$1"'

PREAMBLE = """
import asyncio, errno, json, os, resource, subprocess, sys
from pathlib import Path
from mta.queue import NewMessage, Queue, QueueError, QueueFull, QueueOptions, Recipient
spool = Path(sys.argv[1]) / "spool"

def letter(size=2000):
    return NewMessage("a@example.org", [Recipient("b@example.net")], b"Subject: x\\r\\n\\r\\n" + b"x" * size + b"\\r\\n")

def until_error(queue, size=2000, limit=10000):
    # Puts until one is refused: the ids that were acknowledged, and the refusal.
    kept = []
    for _ in range(limit):
        try:
            kept.append(queue.put_blocking(letter(size)))
        except QueueError as error:
            return kept, error
    raise SystemExit("nothing was refused")

def whole(queue, kept):
    # Each acknowledged message is there, with its content.
    found = {message.queue_id: message for message in queue.messages()}
    return all(len(queue.content(found[queue_id])) == found[queue_id].size for queue_id in kept)
"""


@functools.cache
def may_mount() -> bool:
    """Root always; others where the kernel lets them have a user namespace."""
    probe = ("unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    return os.geteuid() == 0 or subprocess.run(probe, check=False, capture_output=True).returncode == 0


def on_small_disk(script: str, place: Path, options: str) -> Any:
    """What the script prints as JSON on its last line. `options` are mount options of tmpfs(5)."""
    if not may_mount():
        pytest.skip("this user may mount nothing here; root runs it as well")
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    command = ("unshare", *user, "--mount", "--propagation", "private", "sh", "-c", MOUNT, options, str(place))
    done = subprocess.run(
        [*command, sys.executable, PREAMBLE + script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
