"""No octets crash a session, leak an exception's text, or make one message two: a short run of `fuzzing`."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from mta.smtpd import greeting
from tests.mta.smtpd.fuzzing import STATES, Fuzzer, Harm, campaign, loop

INPUTS = 1500


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "postfix")


def test_no_input_does_harm_in_any_state(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        counts = runner.run(campaign(tmp_path, INPUTS, seed=1))
    assert all(counts[state] >= INPUTS // len(STATES) for state in STATES)
    assert counts["messages"] > INPUTS // len(STATES)


def run(directory: Path, state: str, octets: bytes, settings: str = "") -> None:
    async def once() -> None:
        await Fuzzer(directory, settings).run(state, octets)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(once())


def test_a_mail_that_was_made_two_is_noticed(tmp_path: Path) -> None:
    smuggled = b"x\n.\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n\r\ny\r\n.\r\n"
    run(tmp_path, "in DATA", smuggled)
    with pytest.raises(Harm):
        run(tmp_path, "in DATA", smuggled, "smtpd_forbid_bare_newline = no")


def test_an_internal_error_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(greeting, "_extensions", fail)
    with pytest.raises(Harm, match="internal error"):
        run(tmp_path, "connected", b"EHLO x\r\n")


def test_a_promise_that_is_not_kept_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(queue: object, message: object) -> str:
        return "QID"

    monkeypatch.setattr("tests.mta.smtpd.fuzzing.Queue.put", forget)
    with pytest.raises(Harm, match="1 mails are promised, 0 are kept"):
        run(tmp_path, "in DATA", b"x\r\n.\r\n")
