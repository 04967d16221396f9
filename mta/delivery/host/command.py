"""Running a delivery command and reading its exit status (pipe_command(3), sysexits.h).

Runs in the child that is the recipient (rights.py). An argument vector is executed as it is. A command line of
aliases(5) is split at blanks, and goes to /bin/sh only where it holds what only a shell understands (exec_command(3)):
it was written by the system's administrator or by the recipient himself, never taken from a message.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Verdict = tuple[str, str, str]
"""Enhanced status code, reason, and what a report gives as Diagnostic-Code: x-unix."""

SHELL: Final = "/bin/sh"
PATH: Final = "/usr/bin:/bin"
OUTPUT_LIMIT: Final = 4096
"""Octets of a command's output that are kept; the rest is read and forgotten."""
_PLAIN: Final = re.compile(r"[1234567890!@%\-_=+:,./a-zA-Z \t]+\Z")

EXIT_CODES: Final[Mapping[int, tuple[str, str]]] = {
    os.EX_USAGE: ("5.3.0", "command line usage error"),
    os.EX_DATAERR: ("5.6.0", "data format error"),
    os.EX_NOINPUT: ("5.3.0", "cannot open input"),
    os.EX_NOUSER: ("5.1.1", "user unknown"),
    os.EX_NOHOST: ("5.1.2", "host name unknown"),
    os.EX_UNAVAILABLE: ("5.3.0", "service unavailable"),
    os.EX_SOFTWARE: ("5.3.0", "internal software error"),
    os.EX_OSERR: ("4.3.0", "system resource problem"),
    os.EX_OSFILE: ("5.3.0", "critical OS file missing"),
    os.EX_CANTCREAT: ("5.2.0", "can't create user output file"),
    os.EX_IOERR: ("5.3.0", "input/output error"),
    os.EX_TEMPFAIL: ("4.3.0", "temporary failure"),
    os.EX_PROTOCOL: ("5.5.0", "remote error in protocol"),
    os.EX_NOPERM: ("5.7.0", "permission denied"),
    os.EX_CONFIG: ("5.3.5", "local configuration error"),
}
_STATUS: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|\Z)")


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and how."""

    argv: Sequence[str]
    text: str
    """As it is named in reports."""
    speaker: str = "local: fatal"
    """Whose message it is that it cannot be started."""
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    """Working directory; empty: the queue directory, where the process is."""
    time_limit: float = 1000.0


def vector(line: str, shell: str = "") -> list[str]:
    """A command line as an argument vector; `shell`: local_command_shell, which then runs everything."""
    if shell:
        return [*shell.split(), line]
    words = line.split()
    if words and _PLAIN.match(line) and _executable(words[0]):
        return words
    return [SHELL, "-c", line]


def _executable(name: str) -> bool:
    """A bare word that is on no path may be a command of the shell itself."""
    return "/" in name or any(os.access(f"{place}/{name}", os.X_OK) for place in PATH.split(":"))


def run(command: Command, octets: bytes) -> tuple[Verdict | None, str]:
    """Run to the end. None if it succeeded, and what it said."""
    deadline = time.monotonic() + command.time_limit
    source = os.memfd_create("message")
    with os.fdopen(source, "r+b", buffering=0) as message:
        view = memoryview(octets)
        while view:
            view = view[message.write(view) :]
        message.seek(0)
        try:
            process = subprocess.Popen(
                list(command.argv),
                stdin=message,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": PATH, **command.environment},
                cwd=command.directory or None,
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            return _not_started(command, error), ""
    output = _output(process, deadline)
    said = _printable(output or b"")
    if output is None or not _ends(process, deadline):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reason = _with_output(f'Command time limit exceeded: "{command.text}"', said)
        return ("5.3.0", reason, said or EXIT_CODES[os.EX_SOFTWARE][1]), said
    return judged(process.returncode, command.text, said), said


def _not_started(command: Command, error: OSError) -> Verdict:
    """As the child of pipe_command(3) tells it: mail waits until the program is there."""
    status, reason = EXIT_CODES[os.EX_TEMPFAIL]
    if command.directory and error.filename == command.directory:
        what = f'cannot change directory to "{command.directory}" for uid={os.geteuid()} gid={os.getegid()}'
    else:
        what = f"execvp {command.argv[0]}"
    said = f"{command.speaker}: {what}: {error.strerror} "
    return status, _with_output(reason, said), said


def _output(process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """What it writes until it closes its output; None if that takes too long."""
    assert process.stdout is not None
    kept = b""
    with process.stdout as stream:
        while True:
            wait = deadline - time.monotonic()
            if wait <= 0 or not select.select([stream], [], [], wait)[0]:
                return None
            part = os.read(stream.fileno(), 65536)
            if not part:
                return kept
            kept += part[: max(0, OUTPUT_LIMIT - len(kept))]


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def judged(code: int, text: str, said: str) -> Verdict | None:
    """An exit status (negative: a signal) as a verdict; None for success."""
    if code == 0:
        return None
    detail = said or EXIT_CODES[os.EX_SOFTWARE][1]
    if code < 0:
        return "4.3.0", _with_output(f'Command died with signal {-code}: "{text}"', said), detail
    if match := _STATUS.match(said):
        rest = said[match.end() :] or said
        return match[1], rest, rest
    if code in EXIT_CODES:
        status, reason = EXIT_CODES[code]
        return status, _with_output(reason, said), said or reason
    return (
        "5.3.0",
        _with_output(f'Command died with status {code}: "{text}"', said),
        said or f"unknown mail system error {code}",
    )


def _with_output(reason: str, said: str) -> str:
    return f"{reason}. Command output: {said}" if said else reason


def _printable(output: bytes) -> str:
    text = output.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "?" for c in text)
