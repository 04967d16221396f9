"""Only the typed errors leave machines and mechanisms, whatever the input: a short run of `fuzzing`."""

from __future__ import annotations

import pytest

from auth.mechanisms import MECHANISMS
from auth.protocol import server
from tests.auth.fuzzing import STATES, campaign

INPUTS = 6000


def test_no_input_does_harm() -> None:
    counts = campaign(INPUTS, seed=1)
    assert set(counts) == {*STATES, *MECHANISMS}
    assert min(counts.values()) >= INPUTS // len(counts)


def test_another_exception_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(word: str) -> bytes:
        raise KeyError(word)

    monkeypatch.setattr(server, "decode_base64", fail)
    with pytest.raises(AssertionError, match="server"):
        campaign(INPUTS, seed=1)
