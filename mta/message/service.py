"""Which cleanup(8) a service hands its mail to: the line of master.cf that cleanup_service_name names, with its -o."""

from __future__ import annotations

from dataclasses import replace

from mta.config import MainConfig, MasterConfig
from mta.message.cleanup import Rules
from mta.message.settings import rules_from


def line_config(config: MainConfig, name: str, command: str) -> MainConfig:
    """main.cf as the line of master.cf with this name and command sees it. Raises ConfigErrors."""
    if not (config.confdir / "master.cf").exists():
        return config
    for line in MasterConfig.load(config.confdir, config):
        if (line.name, line.command) == (name, command) and line.overrides:
            return config.with_overrides(line.overrides, line.where)
    return config


def cleanup_rules(config: MainConfig) -> Rules:
    """The rules for mail of the receiving service whose configuration this is. Raises ConfigErrors.

    content_filter and receive_override_options are the receiver's own (smtpd(8), pickup(8)); cleanup has the rest.
    """
    cleanup = line_config(config, config.str("cleanup_service_name"), "cleanup")
    own = {"receive_override_options": config.str("receive_override_options")}
    return replace(rules_from(cleanup.with_overrides(own)), content_filter=config.str("content_filter"))
