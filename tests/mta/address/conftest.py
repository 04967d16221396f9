"""Fixtures: a configuration made of given settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mta.config import MainConfig

MakeConfig = Callable[..., MainConfig]


@pytest.fixture
def config(tmp_path: Path) -> MakeConfig:
    """Makes a MainConfig of keyword settings over a small, machine-independent base."""

    def make(**settings: str) -> MainConfig:
        base = {"compatibility_level": "3.6", "myhostname": "mx.example.com", "inet_interfaces": "loopback-only"}
        text = "".join(f"{name} = {value}\n" for name, value in {**base, **settings}.items())
        (tmp_path / "main.cf").write_text(text)
        return MainConfig.load(tmp_path)

    return make
