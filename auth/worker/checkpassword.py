"""Runs a checkpassword program (https://cr.yp.to/checkpwd/interface.html) as Dovecot's checkpassword driver does.

Name and password go in on descriptor 3; the program then runs checkpassword-reply, which sends the user's fields back
on descriptor 4. Without a password it is a lookup: AUTHORIZED=1 tells the program that the password is not to be
checked, and the exit status is 2 for success, 3 for an unknown user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REQUEST_MAX = 512
"""Octets on descriptor 3, by the interface."""

REPLY_MAX = 1 << 15

REPLY_PROGRAM = ["/bin/sh", str(Path(__file__).with_name("checkpassword-reply"))]


def run(command: str, user: str, password: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """Ask ``command`` (words separated by blanks; no shell) about a user. Raises OSError.

    The answer's ``fields`` are the words of the reply; ``result`` is ok, mismatch or unknown, else ``error`` says what
    went wrong.
    """
    request = f"{user}\0{password or ''}\0\0".encode("utf-8", "surrogateescape")
    if len(request) > REQUEST_MAX:
        return {"result": "unknown" if password is None else "mismatch", "fields": []}
    words = command.split()
    request_end, reply, pid = _start(words, dict(environment), lookup=password is None)
    with contextlib.suppress(BrokenPipeError):  # it need not read
        os.write(request_end, request)  # at most REQUEST_MAX: it fits the pipe
    os.close(request_end)
    with os.fdopen(reply, "rb") as source:
        said = source.read(REPLY_MAX)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return _judged(words[0], status, said, lookup=password is None)


def _start(command: list[str], environment: dict[str, str], *, lookup: bool) -> tuple[int, int, int]:
    """Start the program; where to write the request, where to read the reply, and its process id."""
    if lookup:
        environment["AUTHORIZED"] = "1"
    environment["ORIG_UID"] = str(os.getuid())
    environment.setdefault("PATH", os.defpath)
    words = [*command, *REPLY_PROGRAM]
    request, request_end = os.pipe()
    reply, reply_end = os.pipe()
    # The numbers 3 and 4 may be the pipes' own: from 10 on they are out of the way.
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in (request, reply_end)]
    pid = os.posix_spawn(
        words[0],
        words,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)],
    )
    for number in (request, reply_end, *high):
        os.close(number)
    return request_end, reply, pid


def _judged(program: str, status: int, said: bytes, *, lookup: bool) -> dict[str, Any]:
    good, bad = (2, 3) if lookup else (0, 1)
    if status == bad:
        return {"result": "unknown" if lookup else "mismatch", "fields": []}
    if status != good:
        return {"error": f"checkpassword program {program} ended with status {status}"}
    text = said.decode("utf-8", "surrogateescape")
    if not text or "\0" in text or "\n" in text or len(said) >= REPLY_MAX:
        return {"error": f"checkpassword program {program} gave no reply, or none that can be read"}
    return {"result": "ok", "fields": [word for word in text.split("\t") if word]}
