"""The -o of cleanup's line, and what of it the receiving service decides for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.config import ConfigErrors, MainConfig
from mta.message.service import cleanup_rules, line_config

MASTER = """
pickup unix n - n 60 1 pickup -o content_filter=
cleanup unix n - n - 0 cleanup -o always_bcc=all@example.com -o content_filter=never
strict unix n - n - 0 cleanup -o always_bcc=strict@example.com
smtp unix - - n - - smtp
"""


@pytest.fixture
def config(tmp_path: Path) -> MainConfig:
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\ncontent_filter = scan\nalways_bcc = x@example.com\n")
    (tmp_path / "master.cf").write_text(MASTER)
    return MainConfig.load(tmp_path)


def test_cleanup_has_its_own_settings_and_the_receiver_its_filter(config: MainConfig) -> None:
    assert (cleanup_rules(config).always_bcc, cleanup_rules(config).content_filter) == ("all@example.com", "scan")
    picked_up = cleanup_rules(line_config(config, "pickup", "pickup"))
    assert (picked_up.always_bcc, picked_up.content_filter) == ("all@example.com", "")
    strict = cleanup_rules(config.with_overrides({"cleanup_service_name": "strict"}))
    assert strict.always_bcc == "strict@example.com"
    left_out = cleanup_rules(config.with_overrides({"receive_override_options": "no_address_mappings"}))
    assert left_out.always_bcc == ""


def test_without_such_a_line_main_cf_counts(config: MainConfig) -> None:
    assert line_config(config, "smtp", "pickup") is config
    (config.confdir / "master.cf").unlink()
    assert cleanup_rules(config).always_bcc == "x@example.com"


def test_mistakes_of_the_line_are_told(config: MainConfig) -> None:
    (config.confdir / "master.cf").write_text("cleanup unix n - n - 0 cleanup -o hopcount_limit=many\n")
    with pytest.raises(ConfigErrors, match="hopcount_limit"):
        cleanup_rules(config)
