"""Asks the auth worker. Blocking: it is called from a thread, one connection for one question."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import ANSWER_SECONDS, MESSAGE_MAX

CHUNK = 1 << 14


class WorkerError(Exception):
    """The worker could not answer; the text is for the log."""


def ask(path: Path, question: Mapping[str, object]) -> dict[str, Any]:
    """The worker's answer, an object. Raises WorkerError."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(ANSWER_SECONDS + 5)
            sock.connect(str(path))
            sock.sendall(json.dumps(question).encode())
            sock.shutdown(socket.SHUT_WR)
            answer = receive(sock)
    except OSError as error:
        raise WorkerError(f"auth worker {path}: {error.strerror or error}") from None
    if answer is None:
        raise WorkerError(f"auth worker {path}: it ended without an answer")
    if "error" in answer:
        raise WorkerError(str(answer["error"]))
    return answer


def receive(sock: socket.socket) -> dict[str, Any] | None:
    """One object, up to the end of the stream; None when what came is none or is longer than MESSAGE_MAX."""
    data = b""
    while chunk := sock.recv(CHUNK):
        data += chunk
        if len(data) > MESSAGE_MAX:
            return None
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
