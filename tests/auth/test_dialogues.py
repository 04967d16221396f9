"""Dialogues recorded from Dovecot 2.3.19: ours says the same, and (interop) so does the Dovecot at hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.auth import replay
from tests.interop import realdovecot

if TYPE_CHECKING:
    from .conftest import Running

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


@pytest.mark.interop
@pytest.mark.needs("dovecot", "dovecot-core")
@pytest.mark.parametrize("name", replay.NAMES)
async def test_dialogue_of_dovecot_itself(place: Path, name: str) -> None:
    with realdovecot.authenticating(place, replay.configuration(name, place)) as sockets:
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
