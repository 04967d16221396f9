"""One file a message, as qmail's maildir has it: written in tmp/, synced, linked into new/, the directory synced.

Runs in the child that is the recipient (rights.py).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

from mta.delivery.host.mailbox import Verdict, mailbox_status


def deliver(maildir: str, octets: bytes, otherwise: str) -> Verdict | None:
    """Deliver durably; None if it went well. Missing directories are made. `otherwise`: status of other failures."""
    now = time.time()
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    temporary = Path(maildir, "tmp", f"{int(now)}.P{os.getpid()}.{host}")
    try:
        fd = _create(temporary)
    except OSError as error:
        return _failed(error, otherwise, f"create maildir file {temporary}")
    try:
        try:
            with os.fdopen(fd, "wb", buffering=0) as file:
                view = memoryview(octets)
                while view:
                    view = view[file.write(view) :]
                os.fsync(fd)
                status = os.fstat(fd)
        except OSError as error:
            return _failed(error, "5.3.0", "error writing message")
        name = f"{int(now)}.V{status.st_dev:x}I{status.st_ino:x}M{int(now % 1 * 1e6)}.{host}"
        final = Path(maildir, "new", name)
        try:
            _link(temporary, final)
        except OSError as error:
            return _failed(error, otherwise, f"create maildir file {final}")
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return None


def _failed(error: OSError, otherwise: str, what: str) -> Verdict:
    return mailbox_status(error.errno, otherwise), f"maildir delivery failed: {what}: {error.strerror}"


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)


def _link(temporary: Path, final: Path) -> None:
    """link(2), not rename(2): a name that is taken already would be somebody's mail."""
    try:
        os.link(temporary, final)
    except FileNotFoundError:
        for name in ("cur", "new"):
            final.parent.with_name(name).mkdir(mode=0o700, exist_ok=True)
        os.link(temporary, final)
    fd = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
