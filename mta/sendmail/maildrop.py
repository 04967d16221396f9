"""The maildrop: one file for each message that sendmail(1) took, complete and durable before it exits with 0."""

from __future__ import annotations

import json
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mta.queue import layout
from mta.queue.layout import sync_directory
from mta.queue.message import Trace

MAGIC: Final = b"hardmail-maildrop-1"
_NAME: Final = re.compile(r"[0-9a-f]{32}\Z")
_FIRST_LINE: Final = re.compile(rb"hardmail-maildrop-1 (\d{1,9}) (\d{1,12}) (\d{1,10})\n")
FIRST_LINE_LIMIT: Final = 64
MAX_DROP: Final = 1 << 30
"""Octets of a file that is looked at: message_size_limit is far below, and a stranger's file must not fill memory."""


class BadDrop(Exception):
    """The file is torn, or no drop of ours."""


@dataclass(frozen=True, slots=True)
class Drop:
    """What sendmail(1) was given."""

    sender: str
    """Envelope sender, internal form; empty for the null sender."""
    recipients: tuple[str, ...]
    content: bytes
    """Header and body as read, LF or CRLF line ends."""
    fullname: str = ""
    notify: int = 0
    ret: str = ""
    envid: str = ""
    body: str = ""
    smtputf8: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    trace: int = 0
    """What is to be reported, mta.queue.message.Trace."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A drop that was found, and who left it."""

    path: Path
    drop: Drop
    uid: int
    arrival: float


def write(queue_directory: Path, drop: Drop) -> Path:
    """Keep a drop; returns its path once file and name are durable. Raises OSError."""
    directory = queue_directory / layout.MAILDROP
    envelope = json.dumps({name: getattr(drop, name) for name in _ENVELOPE}).encode()
    checksum = zlib.crc32(drop.content, zlib.crc32(envelope))
    head = b"%s %d %d %d\n" % (MAGIC, len(envelope), len(drop.content), checksum)
    name = secrets.token_hex(16)
    temporary = directory / f"{name}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, layout.FILE_MODE)
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            layout.give_to_owner(fd, directory)
            for part in (head, envelope, drop.content):
                view = memoryview(part)
                while view:
                    view = view[file.write(view) :]
            os.fsync(fd)
        path = directory / name
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(directory)
    return path


_ENVELOPE: Final = (
    "sender",
    "recipients",
    "fullname",
    "notify",
    "ret",
    "envid",
    "body",
    "smtputf8",
    "trace",
    "attributes",
)


def read(path: Path) -> Dropped:
    """A drop from its file. Raises BadDrop, or OSError if it cannot be opened."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if status.st_size > MAX_DROP:
            raise BadDrop("too large")
        data = file.read(MAX_DROP)
    # The owner is who dropped it, unless root gave the file to the queue's owner; that is written in the envelope.
    drop = parse(data)
    return Dropped(path, drop, int(drop.attributes.get("uid", status.st_uid)), status.st_mtime)


def parse(data: bytes) -> Drop:
    """The octets of a drop file. Raises BadDrop."""
    match = _FIRST_LINE.match(data[:FIRST_LINE_LIMIT])
    if match is None:
        raise BadDrop("not a maildrop file")
    envelope_size, content_size, checksum = (int(number) for number in match.groups())
    start = match.end()
    if len(data) != start + envelope_size + content_size or zlib.crc32(data[start:]) != checksum:
        raise BadDrop("torn")
    try:
        told = json.loads(data[start : start + envelope_size])
        return _drop(told, data[start + envelope_size :])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadDrop(f"bad envelope: {type(error).__name__}") from error


def _drop(told: dict[str, Any], content: bytes) -> Drop:
    attributes = {str(name): str(value) for name, value in told["attributes"].items()}
    if "uid" in attributes and not re.match(r"\d{1,10}\Z", attributes["uid"], re.ASCII):
        raise ValueError("uid")
    recipients = told["recipients"]
    if not isinstance(recipients, list):
        raise TypeError("recipients")
    return Drop(
        sender=str(told["sender"]),
        recipients=tuple(str(recipient) for recipient in recipients),
        content=content,
        fullname=str(told["fullname"]),
        notify=int(told["notify"]) & 15,
        ret=str(told["ret"]) if told["ret"] in ("", "FULL", "HDRS") else "",
        envid=str(told["envid"]),
        body=str(told["body"]) if told["body"] in ("", "7BIT", "8BITMIME") else "",
        smtputf8=bool(told["smtputf8"]),
        trace=int(told.get("trace", 0)) & int(Trace.USER_VERIFY | Trace.RECORD),
        attributes=attributes,
    )


def waiting(queue_directory: Path) -> Iterator[Path]:
    """Paths of finished drops, oldest first."""
    found = []
    with os.scandir(queue_directory / layout.MAILDROP) as entries:
        for entry in entries:
            if _NAME.match(entry.name) and entry.is_file(follow_symlinks=False):
                found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
    for _, path in sorted(found):
        yield Path(path)
