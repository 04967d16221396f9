"""`hardmail check`: everything that is wrong, or probably not meant, in a configuration, before it runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from auth.dovecotconf import DovecotConfig
from auth.settings import AuthSettings
from auth.wellknown import CHECK_SECONDS, stale, weaknesses
from lab import plan
from lab.dangers import DANGERS
from lab.errors import PlanError
from lab.plan.smtpd import ENTRY as SMTPD_ENTRY
from lab.supervisor.service import Plan


@dataclass(frozen=True)
class Finding:
    """One line for the operator."""

    severity: str  # error, warning or danger
    text: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"


def check(confdirs: Iterable[Path]) -> list[Finding]:
    """All errors, else all warnings and dangerous combinations."""
    findings: list[Finding] = []
    for confdir in confdirs:
        try:
            found = plan.load(confdir)
        except PlanError as error:
            findings += [Finding("error", line) for line in error.lines]
            continue
        findings += [Finding("error", line) for line in _policy(found)]
        findings += [
            Finding("warning", line)
            for line in (*_tables(confdir), *_passwords(found), *_unheeded(confdir), *found.warnings())
        ]
        findings += [
            Finding("danger", f"{danger.text} ({danger.slug}; {danger.source})")
            for danger in DANGERS
            if danger.holds(found)
        ]
    return findings


def _policy(found: Plan) -> list[str]:
    """Restrictions that do not exist: smtpd would not start, for fear of leaving out what was meant to protect."""
    from mta.config import MainConfig
    from mta.smtpd.service import check as check_smtpd

    configs = [s.config for s in found.services if s.entry == SMTPD_ENTRY and isinstance(s.config, MainConfig)]
    with _Said():  # tables that are not there yet are told below
        return list(dict.fromkeys(line for config in configs for line in check_smtpd(config)))


def _passwords(found: Plan) -> list[str]:
    """Passwords that everybody knows where only this machine is listened to, and those that are old."""
    configs = [service.config for service in found.services if service.name == "auth"]
    lines = list[str]()
    for config in configs:
        if isinstance(config, DovecotConfig):
            settings = AuthSettings.of(config.protocol("auth"))
            if config.str("hardmail_default_passwords") != "allow":
                lines += map(str, weaknesses(settings, CHECK_SECONDS))
            lines += stale(settings, config.seconds("hardmail_password_age"), time.time())
    return [f"{line} (default-passwords; P Mailserver absichern)" for line in lines]


def _tables(confdir: Path) -> list[str]:
    """Lookup tables that main.cf names and that can never work; Postfix defers the mail that needs them."""
    if not (confdir / plan.MAIN_CF).exists():
        return []
    from mta.config import MainConfig
    from mta.tables import check_tables

    with _Said() as said:  # a missing file is only logged: it may come later
        errors = check_tables(MainConfig.load(confdir))
    return list(dict.fromkeys([*map(str, errors), *said.lines]))


def _unheeded(confdir: Path) -> list[str]:
    """What main.cf and master.cf set to no effect."""
    if not (confdir / plan.MAIN_CF).exists():
        return []
    from mta.config import MainConfig, MasterConfig
    from mta.config.effect import unheeded

    config = MainConfig.load(confdir)
    services = MasterConfig.load(confdir, config) if (confdir / plan.MASTER_CF).exists() else ()
    return list(map(str, unheeded(config, services)))


class _Said(logging.Handler):
    """Collects what is logged as a warning or worse while it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


def status(findings: Sequence[Finding]) -> int:
    """The exit status: 78 (EX_CONFIG) if there is an error."""
    return os.EX_CONFIG if any(finding.severity == "error" for finding in findings) else os.EX_OK
