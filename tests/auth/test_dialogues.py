"""Dialogues recorded from Dovecot 2.3.19: ours says the same, and (interop) so does the Dovecot at hand."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import importlib.util
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Running

_spec = importlib.util.spec_from_file_location("auth_replay", Path(__file__).with_name("replay.py"))
assert _spec is not None
assert _spec.loader is not None
replay = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(replay)

Start = Callable[..., Awaitable["Running"]]


def compared(said: list[str], wanted: list[list[str]], got: list[list[str]]) -> str:
    """The turns that differ, as text."""
    return "\n".join(
        f"> {line}\n  Dovecot: {want}\n  here:    {have}"
        for line, want, have in zip(said, wanted, got, strict=True)
        if want != have
    )


@pytest.mark.parametrize("name", replay.NAMES)
async def test_dialogue(start: Start, tmp_path: Path, name: str) -> None:
    running = await start(replay.configuration(name, tmp_path))
    turns = replay.dialogue(name)
    said = [line for line, _ in turns]
    got = await replay.replay(running.directory, said)
    assert compared(said, [wanted for _, wanted in turns], got) == ""


@asynccontextmanager
async def dovecot(place: Path, name: str) -> AsyncIterator[Path]:
    """A private Dovecot on the dialogue's configuration; the directory of its sockets."""
    me = getpass.getuser()
    internal, login = ("dovecot", "dovenull") if os.geteuid() == 0 else (me, me)
    (place / "dovecot.conf").write_text(
        f"protocols = none\nbase_dir = {place}/run\nstate_dir = {place}/state\nlog_path = {place}/log\n"
        f"default_internal_user = {internal}\ndefault_login_user = {login}\nauth_failure_delay = 0\n"
        "service anvil {\n unix_listener anvil-auth-penalty {\n  mode = 0\n }\n}\n" + replay.configuration(name, place)
    )
    program = shutil.which("dovecot") or "/usr/sbin/dovecot"
    command = [program, "-F", "-c", str(place / "dovecot.conf")]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(place / "run" / "auth-client")
                greeting = await reader.read(1 << 16)
                writer.close()
                await writer.wait_closed()
                if greeting:
                    break
            assert process.returncode is None
            await asyncio.sleep(0.05)
    yield place / "run"
    process.terminate()
    await process.wait()


@pytest.mark.interop
@pytest.mark.parametrize("name", replay.NAMES)
async def test_dialogue_of_dovecot_itself(place: Path, name: str) -> None:
    async with dovecot(place, name) as sockets:
        turns = replay.dialogue(name)
        said = [line for line, _ in turns]
        got = await replay.replay(sockets, said)
    if os.environ.get("RECORD"):
        record(name, said, got)
    assert compared(said, [wanted for _, wanted in replay.dialogue(name)], got) == ""


def record(name: str, said: list[str], got: list[list[str]]) -> None:
    """Write down what Dovecot has answered (``RECORD=1 pytest -m interop tests/auth/test_dialogues.py``)."""
    lines = []
    for line, replies in zip(said, got, strict=True):
        lines += [f"> {line}", *(f"< {reply}" for reply in replies)]
    (replay.DIALOGUES / name / "dialogue.txt").write_text("\n".join(lines) + "\n")
    print(f"recorded {name}", file=sys.stderr)
